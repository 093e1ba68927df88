"""What the switches would do with a packet, worked out from the flows alone.

    ports = {1: Tunnel(tunnel_ips), 2: Host("alpha", gateway_ips), 3: Guest("shop/web", mac, ips), ...}
    fabric = Fabric.of([Switch("alpha", flows, ports), ...])
    fabric.connect("shop/web", "shop/db", tcp=80).ok
    print(fabric.send("shop/web", "203.0.113.9", udp=53).why)

It answers as Open vSwitch would (an integration test asks both), needs no switch, and is fast enough to ask every
pod about every other one.
"""

from openflow.simulate.conntrack import Conntrack, Find, Told
from openflow.simulate.fabric import Exchange, Fabric, Place, Switch
from openflow.simulate.packet import Outer, Packet
from openflow.simulate.slots import SimulationError
from openflow.simulate.trace import Delivery, Drop, Guest, Host, Reason, Step, Trace, Tunnel
from openflow.simulate.walk import Tables

__all__ = [
    "Conntrack",
    "Delivery",
    "Drop",
    "Exchange",
    "Fabric",
    "Find",
    "Guest",
    "Host",
    "Outer",
    "Packet",
    "Place",
    "Reason",
    "SimulationError",
    "Step",
    "Switch",
    "Tables",
    "Told",
    "Trace",
    "Tunnel",
]
