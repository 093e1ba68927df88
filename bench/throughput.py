"""`throughput`: iperf3 from pod to pod, through Weft's pipeline and through one NORMAL flow.

Fair means that nothing differs but the flows: the same two pods, the same veths, the same bridge in the same
datapath. The controller is stopped (flows stay), then the bridge's flows are exchanged for the single flow NORMAL
and put back, run after run. NORMAL switches by MAC and Weft routes, so each pod has an address of a common subnet
besides its own, which is used for NORMAL only. What is compared is the median of each side.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import iperf
from bench.metric import Metric, Peer
from bench.stage import BenchError, Stage, pod_object
from bench.stats import median
from bench.switch import Bridge
from lab.bringup import CONTROLLER
from lab.config import LabConfig
from lab.lab import Lab
from lab.node import BRIDGE

LAB = "bench-throughput"
SECONDS, ROUNDS = 3, 7
_CLIENT, _SERVER, _REMOTE = "default/client", "default/server", "default/remote"
_L2: Mapping[str, str] = {_CLIENT: "192.0.2.1", _SERVER: "192.0.2.2"}


@dataclass(frozen=True, slots=True)
class _Pipelines:
    """The flows of either side as files for `ovs-ofctl replace-flows`."""

    bridge: Bridge
    ours: Path
    normal: Path

    def install(self, flows: Path) -> None:
        self.bridge.ofctl("replace-flows", str(flows))


def run(rounds: int = ROUNDS, seconds: int = SECONDS) -> Iterator[Metric]:
    """`rounds` streams of `seconds` each on either side, in turns, then across nodes for information."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab.up(LabConfig(name=LAB, nodes=2), replace=True))
        lab.wait_ready()
        lab.apply(_pods())
        lab.wait_pods()
        address = {pod: _address(lab, pod) for pod in (_SERVER, _REMOTE)}
        lab.kill(CONTROLLER)  # or it would repair what is exchanged here
        pipelines = _pipelines(lab)
        for pod, extra in _L2.items():
            _must(lab, pod, ("ip", "address", "add", f"{extra}/24", "dev", "eth0"))
        ours, normal = [], []
        for _ in range(rounds):
            pipelines.install(pipelines.ours)
            ours.append(iperf.mbps(lab, (_CLIENT, _SERVER), address[_SERVER], seconds))
            pipelines.install(pipelines.normal)
            normal.append(iperf.mbps(lab, (_CLIENT, _SERVER), _L2[_SERVER], seconds))
        pipelines.install(pipelines.ours)
        across = [iperf.mbps(lab, (_CLIENT, _REMOTE), address[_REMOTE], seconds) for _ in range(3)]
    yield Metric("throughput", "mbps", median(ours), rounds, Peer("one NORMAL flow", median(normal)))
    yield Metric("throughput-cross-node", "mbps", median(across), len(across))


def _pods() -> list[dict[str, object]]:
    idle = [{"name": "main", "image": "any", "command": ["sleep", "infinity"]}]
    where = ((_CLIENT, "node1"), (_SERVER, "node1"), (_REMOTE, "node2"))
    return [pod_object(pod.rpartition("/")[2], node, containers=idle) for pod, node in where]


def _pipelines(lab: Lab) -> _Pipelines:
    bridge = Bridge(Stage(lab, lab.config.node_configs()[0]), BRIDGE)
    files = _Pipelines(bridge, lab.paths.root / "ours.flows", lab.paths.root / "normal.flows")
    files.ours.write_text(bridge.ofctl("dump-flows", "--no-stats"))
    files.normal.write_text("table=0,priority=0,actions=NORMAL\n")
    return files


def _address(lab: Lab, pod: str) -> str:
    ips = (entry["ip"] for entry in lab.pod(pod)["status"]["podIPs"])
    return next(str(ip) for ip in ips if ":" not in ip)


def _must(lab: Lab, pod: str, words: tuple[str, ...]) -> None:
    done = lab.capture(pod, words)
    if done.returncode:
        raise BenchError(f"{' '.join(words)} in {pod}: {done.stderr.strip()}")
