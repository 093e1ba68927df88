"""Captures the traces that the unit tests of weftctl read, from a real switch with the flows of the example node.

    python tests/integration/capture_traces.py

Run it, as root, when the pipeline or Open vSwitch has changed, and look at what became different. The flows that
the switch held go with the traces, so that the tests do not depend on what the pipeline is like later.
"""

import sys
import tempfile
from pathlib import Path

from ovs_fixture import PrivateOvs, private_ovs

from openflow import example
from openflow.codec import encode
from openflow.constants import ROUTER_MAC
from openflow.render import ofctl

TRACES = Path(__file__).parent.parent / "unit" / "traces"
PORTS = {2: "weft-gw0", 3: "web-1a2b3c", 4: "db-4d5e6f"}
_WEB = f"in_port=3,dl_src={example.WEB.mac},dl_dst={ROUTER_MAC}"
_ECHO = "icmp_type=8,icmp_code=0"
_BETA = f"in_port=1,tun_id=1,tun_src=192.0.2.2,tun_dst=192.0.2.1,dl_src={ROUTER_MAC},dl_dst={ROUTER_MAC}"

CASES: dict[str, tuple[str, ...]] = {
    "same_node": (f"tcp,{_WEB},nw_ttl=64,nw_src=10.10.0.5,nw_dst=10.10.0.6,tcp_src=40000,tcp_dst=80",),
    "tunnel": (f"icmp,{_WEB},nw_ttl=64,nw_src=10.10.0.5,nw_dst=10.10.1.9,{_ECHO}",),
    "forged": (f"icmp,{_WEB},nw_ttl=64,nw_src=10.10.0.7,nw_dst=10.10.0.6,{_ECHO}",),
    "outside6": (f"udp6,{_WEB},nw_ttl=64,ipv6_src=fd10::5,ipv6_dst=2001:db8::1,udp_src=40000,udp_dst=53",),
    "unused": (f"icmp,{_WEB},nw_ttl=64,nw_src=10.10.0.5,nw_dst=10.10.0.77,{_ECHO}",),
    "itself": (f"icmp,{_WEB},nw_ttl=64,nw_src=10.10.0.5,nw_dst=10.10.0.5,{_ECHO}",),
    "ttl": (f"icmp,{_WEB},nw_ttl=1,nw_src=10.10.0.5,nw_dst=10.10.0.6,{_ECHO}",),
    "reply": (
        f"tcp,{_BETA},nw_ttl=63,nw_src=10.10.1.9,nw_dst=10.10.0.5,tcp_src=80,tcp_dst=40000",
        "--ct-next",
        "trk,est,rpl",
    ),
    "arp": (
        f"arp,in_port=3,dl_src={example.WEB.mac},dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1,arp_spa=10.10.0.5,"
        f"arp_tpa=10.10.0.1,arp_sha={example.WEB.mac}",
    ),
}


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, private_ovs(Path(directory)) as ovs:
        _prepare(ovs, Path(directory))
        # Nobody has told the switch yet where beta is, so it would ask.
        _save("tunnel_idle", ovs.appctl("ofproto/trace", "br-int", *CASES["tunnel"]))
        ovs.appctl("tnl/neigh/set", "br-phy", "192.0.2.2", "0e:00:00:00:00:99")
        for name, arguments in CASES.items():
            _save(name, ovs.appctl("ofproto/trace", "br-int", *arguments))
    encoded = [encode(flow) for flow in example.flows()]
    lines = (f"{flow.key.hex()} {flow.body.hex()}\n" for flow in encoded)
    (TRACES / "flows.hex").write_text("".join(lines))


def _prepare(ovs: PrivateOvs, directory: Path) -> None:
    bridge = ("datapath_type=netdev", "fail_mode=secure", "protocols=OpenFlow15")
    ovs.vsctl("add-br", "br-int", "--", "set", "bridge", "br-int", *bridge)
    ovs.vsctl("add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev")
    ovs.ip("addr", "add", "192.0.2.1/24", "dev", "br-phy")
    ovs.ip("link", "set", "br-phy", "up")
    options = ("type=geneve", "options:remote_ip=flow", "options:key=flow", "options:local_ip=192.0.2.1")
    ovs.vsctl("add-port", "br-int", "weft-tun0", "--", "set", "interface", "weft-tun0", *options, "ofport_request=1")
    for number, name in PORTS.items():
        columns = ("type=internal", f"ofport_request={number}")
        ovs.vsctl("add-port", "br-int", name, "--", "set", "interface", name, *columns)
    flows = directory / "flows"
    flows.write_text("".join(f"{ofctl(flow)}\n" for flow in example.flows()))
    ovs.ofctl("-O", "OpenFlow15", "add-flows", "br-int", str(flows))


def _save(name: str, text: str) -> None:
    TRACES.mkdir(exist_ok=True)
    (TRACES / f"{name}.txt").write_text(text)
    print(f"{name}: {len(text.splitlines())} lines")


if __name__ == "__main__":
    sys.exit(main())
