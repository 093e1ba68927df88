"""Errors of OVSDB rows and sessions."""


class RowError(ValueError):
    """A row that breaks the contract: names the port, the key and the value that was found there."""


class OvsdbError(RuntimeError):
    """A transaction that ovsdb-server refused, or one that could not be composed; it changed nothing."""


class OvsdbUnavailable(OvsdbError):  # noqa: N818  (reads as the state it reports)
    """No answer from ovsdb-server in time. Whether a transaction under way was committed is not known."""
