"""`policy-ovn`: from the write of a NetworkPolicy to the first packet that it denies, and the flows of many policies.

Both sides have a switch of one version with 200 pods of the same addresses, wired in the same way, and 50 policies of
apps (`bench.apps`). Weft's pods and policies are objects of a Kubernetes API. OVN's are what OVN-Kubernetes makes of
them (`bench.ovn_acls`), and a policy is one transaction on the northbound database by hand: neither an API server nor
OVN-Kubernetes itself is charged to OVN, while the lab's API and the controller are charged to Weft.

`count` is the number of OpenFlow flows on the bridge, all of them, before the rounds; OVN's has port security, as
OVN-Kubernetes wants it, and neither routers, load balancers nor a way out of the cluster, all of which Weft's has.

Then, in turns, a policy isolates a pod that receives a datagram each 0.2 ms. What is measured begins before the write
and ends when the first datagram is sent of those of which none arrives any more. Open vSwitch 3.1 may go on by what
its userspace datapath has cached: a round in which that takes more than PATIENCE_SECONDS counts as so long, and
`policy-ovn-stale` counts such rounds.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from bench import apps
from bench.metric import Metric, Peer, Samples
from bench.ovn import NAME, ovn
from bench.policy_sides import OvnSide, Side, WeftSide
from bench.stage import BenchError, stage
from bench.stream import FLOWING, QUIET, Lane, Stream, stream
from bench.switch import Bridge

OURS, PEER = "bench-policy-weft", "bench-policy-ovn"
PODS, POLICIES, ROUNDS, WARM_UP = 200, 50, 30, 2
PATIENCE_SECONDS = 5.0
_COUNT_SECONDS = 120.0
_STEADY_SECONDS = 2.0
_PAUSE_SECONDS = 0.5
_TRIES = 3
_EXPIRED_SECONDS = 12.0  # Open vSwitch forgets a datapath flow that was not used for 10 s


def run(pods: int = PODS, policies: int = POLICIES, rounds: int = ROUNDS, warm_up: int = WARM_UP) -> Iterator[Metric]:
    """Isolate a pod `rounds` times on either side, in turns, after some rounds that do not count."""
    labels, wanted = apps.labels(pods, policies), apps.policies(policies)
    with ExitStack() as stack:
        weft = WeftSide.filled(stack.enter_context(stage(OURS, kubelets=True)), labels, wanted)
        system = stack.enter_context(ovn(stack.enter_context(stage(PEER, weft=False))))
        peer = OvnSide.filled(system, labels, wanted, weft.addresses(), stack)
        ours, theirs = (steady_count(side.bridge) for side in (weft, peer))
        yield Metric("policy-ovn", "count", ours, 1, Peer(NAME, theirs))
        mine, others = _rounds(weft, peer, rounds + warm_up)
    yield from metrics(mine[warm_up:], others[warm_up:])


def _rounds(ours: Side, peer: Side, rounds: int) -> tuple[list[float | None], list[float | None]]:
    mine: list[float | None] = []
    theirs: list[float | None] = []
    turns = [(ours, mine), (peer, theirs)]
    for number in range(rounds):
        for side, found in turns if number % 2 else reversed(turns):
            found.append(denied_ms(side, number))
            time.sleep(_PAUSE_SECONDS)
    return mine, theirs


def denied_ms(side: Side, number: int) -> float | None:
    """One round; None when the stream goes on for PATIENCE_SECONDS."""
    with _flowing(side.lane) as running:
        time.sleep(_PAUSE_SECONDS)
        written = time.monotonic_ns()
        side.isolate(number)
        try:
            quiet = running.wait(QUIET, PATIENCE_SECONDS)
            silent = running.end() if quiet else None
        finally:
            side.release(number)
    return elapsed_ms(written, silent)


def elapsed_ms(written: int, silent: int | None) -> float | None:
    """From the write to the silence, both in ns. BenchError: it was silent before."""
    if silent is not None and silent < written:
        raise BenchError(f"the stream ended {(written - silent) / 1e6:g} ms before a policy was written")
    return None if silent is None else (silent - written) / 1e6


def metrics(ours: Sequence[float | None], theirs: Sequence[float | None]) -> Iterator[Metric]:
    """What the rounds of both sides say, in ms; None where the stream went on."""
    most = PATIENCE_SECONDS * 1000
    mine, others = ([most if each is None else each for each in side] for side in (ours, theirs))
    yield from Samples(mine, others, NAME).metrics("policy-ovn")
    yield Metric("policy-ovn-stale", "count", ours.count(None), len(ours), Peer(NAME, theirs.count(None)))


@contextmanager
def _flowing(lane: Lane) -> Iterator[Stream]:
    """A stream that flows."""
    for _ in range(_TRIES):
        with stream(lane) as running:
            if running.wait(FLOWING, PATIENCE_SECONDS):
                yield running
                return
        time.sleep(_EXPIRED_SECONDS)
    raise BenchError(f"nothing gets from {lane.source} to {lane.target}")


def steady_count(bridge: Bridge) -> int:
    """How many flows a bridge has, once that does not change any more."""
    deadline = time.monotonic() + _COUNT_SECONDS
    before = -1
    while (now := bridge.count()) != before:
        if time.monotonic() > deadline:
            raise BenchError(f"the number of flows on {bridge.name} still changes after {_COUNT_SECONDS:g} s")
        before = now
        time.sleep(_STEADY_SECONDS)
    return now
