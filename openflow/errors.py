"""Errors of the pipeline description."""


class SpecError(ValueError):
    """The pipeline contradicts itself: overlapping bits, a match that its table does not allow, a goto backward.

    It is a mistake in Weft's code, not in anybody's cluster, and is raised when the value is made.
    """


class ManagementError(Exception):
    """A bridge's management socket does not answer as it should; the message names it and says why."""


class DecodeError(ValueError):
    """Bytes from a switch that are not what OpenFlow 1.5 says they should be."""
