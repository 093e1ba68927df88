"""Results and runtime against the reference plugins (Debian's containernetworking-plugins): an independent judge."""

import json
from pathlib import Path

import pytest

from cni.result import parse_prev_result, render
from lab.runtime import Attachment, Conflist, Runtime

REFERENCE = Path("/usr/lib/cni")
POD = Attachment("abc", "/run/netns/none", args={"IgnoreUnknown": "1"})
DUAL = {
    "interfaces": [{"name": "web-1a2b3c", "mac": "0a:58:0a:00:00:05"}, {"name": "eth0", "sandbox": "/run/netns/x"}],
    "ips": [
        {"interface": 1, "address": "10.10.0.5/32", "gateway": "10.10.0.1"},
        {"interface": 1, "address": "fd00:10::5/128", "gateway": "fd00:10::1"},
    ],
    "routes": [{"dst": "10.10.0.1/32"}, {"dst": "0.0.0.0/0", "gw": "10.10.0.1"}, {"dst": "::/0", "gw": "fd00:10::1"}],
    "dns": {"nameservers": ["10.96.0.10"], "search": ["svc"]},
}
RESULT = parse_prev_result(DUAL, "1.0.0")

pytestmark = pytest.mark.skipif(
    not (REFERENCE / "portmap").exists(), reason="containernetworking-plugins is not installed"
)


def runtime(version: str, *plugins: dict[str, object], cache: Path) -> Runtime:
    return Runtime(Conflist("net", version, plugins), (REFERENCE,), cache)


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0", "1.0.0"])
def test_c5_a_chained_plugin_reads_our_result_and_gives_the_same_back(version: str, tmp_path: Path) -> None:
    """portmap without ports only decodes `prevResult` and prints it again."""
    ours = json.loads(render(RESULT, version))
    assert runtime(version, {"type": "portmap", "prevResult": ours}, cache=tmp_path).add(POD) == ours


@pytest.mark.parametrize("version", ["0.2.0", "0.3.1", "0.4.0", "1.0.0"])
def test_c43_we_read_a_reference_ipam_result_and_give_the_same_back(version: str, tmp_path: Path) -> None:
    addresses = [{"address": "10.10.0.5/24", "gateway": "10.10.0.1"}, {"address": "fd00:10::5/64"}]
    ipam = {"type": "static", "addresses": addresses, "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}
    result = runtime(version, {"type": "static", "ipam": ipam}, cache=tmp_path).add(POD)
    assert json.loads(render(parse_prev_result(result, version), version)) == result


def test_c48_a_chain_of_reference_plugins_runs_and_is_undone(tmp_path: Path) -> None:
    ipam = {"type": "host-local", "dataDir": str(tmp_path / "ipam"), "subnet": "10.10.0.0/24"}
    chain = runtime("1.0.0", {"type": "host-local", "ipam": ipam}, {"type": "portmap"}, cache=tmp_path)
    result = chain.add(POD)
    assert [ip["address"] for ip in result["ips"]] == ["10.10.0.2/24"]
    assert (tmp_path / "ipam/net/10.10.0.2").exists()
    for _ in range(2):
        chain.delete(POD)
    assert not (tmp_path / "ipam/net/10.10.0.2").exists()


def test_c1_their_versions_are_read(tmp_path: Path) -> None:
    supported = runtime("1.0.0", {"type": "portmap"}, cache=tmp_path).version()["portmap"]
    assert {"0.3.1", "0.4.0", "1.0.0"} <= set(supported)
