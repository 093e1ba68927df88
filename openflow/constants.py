"""Addresses that every node shares, so that flows are the same bytes everywhere.

The MACs are locally administered and unicast (IEEE 802c). Pods and hosts sit behind one virtual router, so a
MAC never has to be unique in the cluster, and knowing them in advance means that nothing is ever learned.
"""

ROUTER_MAC = "0e:57:65:66:74:01"
"""The virtual router's MAC: the next hop of every pod and host; it answers every ARP request."""

GATEWAY_MAC = "0e:57:65:66:74:02"
"""MAC of `weft-gw0` on every node."""

VNI = 1
"""Virtual network identifier of Weft's tunnels (Geneve RFC 8926 section 3.4, VXLAN RFC 7348 section 5)."""
