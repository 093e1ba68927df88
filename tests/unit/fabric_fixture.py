"""Two nodes with two pods each, made of the real features' flows, for questions to the simulator."""

from ipaddress import ip_address

from openflow.features import base, node, pod
from openflow.fields import IdentityId, OfPort
from openflow.net import network
from openflow.render import Names
from openflow.simulate import Fabric, Guest, Host, Switch, Tunnel

TUNNEL, GATEWAY, FIRST_POD = OfPort(1), OfPort(2), OfPort(3)
NODES = ("alpha", "beta")
PODS = {"alpha": ("web", "db"), "beta": ("api", "job")}
OUTSIDE = {4: "203.0.113.9", 6: "2001:db8::9"}


def cidrs(number):
    return network(f"10.10.{number}.0/24"), network(f"fd10:0:0:{number}::/64")


def tunnel_ip(number):
    return ip_address(f"192.0.2.{number + 1}")


def pods(name):
    """The pods of a node, from the fifth address on."""
    number = NODES.index(name)
    return [
        pod.LocalPod(
            namespace="shop",
            name=own,
            port=OfPort(FIRST_POD + place),
            mac=f"0e:00:0a:0a:{number:02x}:{place + 5:02x}",
            ips=tuple(cidr.network_address + place + 5 for cidr in cidrs(number)),
            identity=IdentityId(0x100 * (number + 1) + place),
        )
        for place, own in enumerate(PODS[name])
    ]


def flows(name):
    number = NODES.index(name)
    addresses = tuple(cidr.network_address + 1 for cidr in cidrs(number))
    made = [*base.flows(base.SystemPorts(GATEWAY, TUNNEL))]
    made += node.gateway_flows(node.Gateway(name, cidrs(number), addresses, GATEWAY))
    for other, far in enumerate(NODES):
        if far != name:
            made += node.remote_flows(node.Remote(far, cidrs(other), tunnel_ip(other), TUNNEL))
    for own in pods(name):
        made += pod.flows(own)
    return made


def switch(name, more=()):
    """A node's switch; `more` are flows on top of those of the features."""
    number = NODES.index(name)
    gateway = Host(f"node/{name}", tuple(cidr.network_address + 1 for cidr in cidrs(number)))
    ports = {TUNNEL: Tunnel((tunnel_ip(number),)), GATEWAY: gateway}
    ports |= {own.port: Guest(f"shop/{own.name}", own.mac, own.ips) for own in pods(name)}
    names = Names.of(
        {TUNNEL: "weft-tun0", GATEWAY: "weft-gw0"} | {own.port: own.name for own in pods(name)},
        [("shop", own) for own in PODS[name]],
        NODES,
    )
    return Switch(name, [*flows(name), *more], ports, names)


def fabric(**more):
    """Both nodes; `more` are additional flows by node."""
    return Fabric.of(switch(name, more.get(name, ())) for name in NODES)
