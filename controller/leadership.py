"""Whether this controller is the active one of several: what comes of the election, in the log and for main."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from typing import Final

from controller.candidacy import Candidacy
from daemon import logs
from kube.election import Election
from kube.elector import Elector, Held, Lost, Taken, Told, Troubled
from kube.endpoint import Endpoint
from kube.errors import KubeError, ParseError

log = logs.get("weft.leadership")

LOST: Final = 3
"""Exit code of a controller that was active and may be no more."""


class Leadership:
    """`taken` is called once, from another thread, when this controller is to become active. When it has to stop, the
    process ends: nothing else is sure to end everything that it does, in time. Nothing is taken unless `willing`."""

    def __init__(
        self, candidacy: Candidacy, endpoint: Endpoint, taken: Callable[[], None], willing: Callable[[], bool]
    ) -> None:
        self._key = candidacy.key
        self._advertise = candidacy.advertise
        self._taken = taken
        candidate = candidacy.candidate(socket.gethostname(), secrets.token_hex(4))
        self._identity = candidate.identity
        self._elector = Elector(endpoint, candidacy.key, Election(candidate), self._told, willing)

    @property
    def alive(self) -> bool:
        """For a liveness check."""
        return self._elector.alive

    @property
    def problem(self) -> str:
        """Why this controller could not become active, or stay so; "" when it could."""
        problem = self._elector.problem
        return f"Lease {self._key}: {problem}" if problem else ""

    def start(self) -> None:
        log.info("standing for election", lease=str(self._key), identity=self._identity)
        self._elector.start()

    def hurry(self) -> None:
        """This controller may be willing now."""
        self._elector.hurry()

    def release(self) -> None:
        """Give the Lease back, once nothing is done any more that only its holder may do."""
        try:
            if self._elector.release():
                log.info("lease released", lease=str(self._key))
        except (KubeError, ParseError) as e:
            log.warning("lease not released: others wait until it is over", lease=str(self._key), error=str(e))

    def _told(self, told: Told) -> None:
        lease = str(self._key)
        match told:
            case Taken():
                log.info("lease taken: active from now on", lease=lease, advertise=self._advertise)
                self._taken()
            case Lost(reason):
                log.error("lease lost: this process ends, so that no two are active", lease=lease, reason=reason)
                os._exit(LOST)
            case Held(holder):
                log.info("standing by", lease=lease, holder=holder)
            case Troubled(""):
                log.info("lease reached again", lease=lease)
            case Troubled(problem):
                log.warning("lease not reached: trying again", lease=lease, problem=problem)
