"""IP addresses and networks of either family."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


def network(text: str) -> IPNetwork:
    return ip_network(text)


def host(address: IPAddress) -> IPNetwork:
    """The network of just this address: /32 or /128."""
    return IPv4Network(address) if isinstance(address, IPv4Address) else IPv6Network(address)


def gateway_address(cidr: IPNetwork) -> IPAddress:
    """A node's own address in one of its pod ranges: the first one after the network's."""
    return cidr.network_address + 1
