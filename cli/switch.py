"""Reads the flows of a bridge for a command."""

from pathlib import Path

from cli.errors import CliError
from openflow import management
from openflow.codec import Record
from openflow.errors import ManagementError


def records(socket: Path, timeout: float = management.TIMEOUT_SECONDS) -> tuple[Record, ...]:
    """Every flow of the bridge, in the switch's order. Raises CliError when it does not answer as it should."""
    try:
        return management.records(socket, timeout)
    except ManagementError as e:
        raise CliError(str(e)) from e
