"""TLS of the controller's two channels: one pair of certificates, one idea of who may be a node, one count."""

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller.peers import stranger
from daemon.certificates import names_of
from daemon.refusals import WRONG_NAME, PeerRefused, Refusals


@dataclass(frozen=True, slots=True)
class Secured:
    """How one channel's connections are secured (`openflow.listening.Tls`, `ovsdb.tls.Tls`)."""

    channel: str
    context: Callable[[], ssl.SSLContext]
    refusals: Refusals

    def admit(self, certificate: Mapping[str, Any]) -> None:
        """PeerRefused: the holder of this verified certificate is no node's."""
        why = stranger(names_of(certificate))
        if why:
            raise PeerRefused(WRONG_NAME, why)

    def refused(self, peer: str, error: OSError) -> str:
        """Count it; why, in words."""
        return self.refusals.take(self.channel, peer, error, time.monotonic())
