"""Keeps the node reachable for the controller and nobody else: Open vSwitch's certificates, and where its database
listens. Open vSwitch does the talking; the agent looks whether it can."""

import math
from collections.abc import Sequence

from daemon import logs
from daemon.certificates import AGENT_NAME, TlsFiles, complaint
from daemon.targets import IPAddress
from daemon.tls import TlsError, examine
from node_agent import published
from node_agent.bridge import NodeBridge
from node_agent.settings import AgentSettings
from ovsdb.access import Access, TlsPaths

OVSDB_SECONDS = 5.0

log = logs.get("weft.keeper")


class AccessKeeper:
    """State of the keeping; called in every round."""

    def __init__(self, settings: AgentSettings, bridge: NodeBridge) -> None:
        self._settings = settings
        self._bridge = bridge
        self._files = settings.tls
        self._listening = settings.listening
        self._open: tuple[str, ...] = ()

    def keep(self, internal_ips: Sequence[IPAddress]) -> None:
        """Make the rows as they should be. An address that is not known leaves in force what was there. Raises
        OvsdbError and TimeoutError."""
        files = self._files
        tls = TlsPaths(str(files.key), str(files.certificate), str(files.ca)) if files else None
        access = Access(self._settings.node_name, tls, self._listen(internal_ips))
        found = self._bridge.ensure_access(access).result(OVSDB_SECONDS)
        if found and found != self._open:
            log.warning(
                "Open vSwitch's database can be written by anybody who reaches it: remove the Manager, or give it an"
                " address of 127.0.0.1; it is not Weft's and is left alone",
                managers=found,
            )
        self._open = found

    def published(self, internal_ips: Sequence[IPAddress]) -> str:
        """What the Node shall say of the database. NoAddress: it cannot be said."""
        where = self._listening
        if where is None:
            return self._settings.published_ovsdb or self._settings.ovsdb
        return published.remote(where.at(internal_ips), where.port)

    def _listen(self, internal_ips: Sequence[IPAddress]) -> str | None:
        where = self._listening
        if where is None:
            return ""
        try:
            return published.manager(where.at(internal_ips), where.port)
        except published.NoAddress:
            return None


class CertificateWatch:
    """Looks at the node's certificate, which Open vSwitch shows to the controller. `problem` is why new connections
    fail, "" when nothing speaks against it; `expires` when it does, in seconds since 1970, NaN while not known."""

    def __init__(self, files: TlsFiles | None) -> None:
        self.problem = ""
        self.expires = math.nan
        self._files = files

    def look(self, now: float) -> None:
        """Read the files again. `now`: seconds since 1970."""
        if self._files is None:
            return
        before, self.problem = self.problem, self._judge(self._files, now)
        if self.problem and self.problem != before:
            log.warning("the node's certificate is not in order", problem=self.problem)

    def _judge(self, files: TlsFiles, now: float) -> str:
        try:
            contents = examine(files)
        except TlsError as e:
            return str(e)
        self.expires = contents.not_after
        return complaint(files, contents, AGENT_NAME, now)
