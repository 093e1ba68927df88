"""What hypothesis makes of OVSDB: pods' ports, rows as the database would have them, and histories of both."""

import string
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from ovsdb.rows import AttachmentKey, PodPort, external_ids, port_name

_word = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
names = st.builds("-".join, st.lists(_word, min_size=1, max_size=3))
cni_ids = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]{0,63}", fullmatch=True)
ifnames = st.from_regex(r"[a-z][a-z0-9.\-]{0,14}", fullmatch=True)
keys = st.builds(AttachmentKey, network=cni_ids, container=cni_ids, ifname=ifnames)
_bytes = st.integers(0, 255)
macs = st.tuples(_bytes, _bytes, _bytes, _bytes, _bytes).map(
    lambda tail: ":".join(f"{byte:02x}" for byte in (0x0A, *tail))
)
_v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
_v6 = st.integers(0, 2**128 - 1).map(IPv6Address)
ips = st.one_of(st.tuples(_v4), st.tuples(_v6), st.tuples(_v4, _v6))


@st.composite
def pod_ports(draw):
    """Any port that the agent may write, as it is before the switch and the controller have seen it."""
    namespace, pod, key = draw(names), draw(names), draw(keys)
    return PodPort(
        port_name(namespace, pod, key),
        key,
        namespace,
        pod,
        uid=draw(st.one_of(st.just(""), _word)),
        mac=draw(macs),
        ips=draw(ips),
        netns=f"/run/netns/{draw(names)}",
    )


@st.composite
def live_ports(draw):
    """A port at any stage: numbered or not, failed, programmed."""
    port = draw(pod_ports())
    ofport = draw(st.one_of(st.none(), st.integers(1, 65279)))
    error = draw(st.one_of(st.none(), st.just("could not open network device x")))
    programmed = draw(st.one_of(st.none(), st.just(port.key.container), cni_ids))
    return replace(port, ofport=ofport, error=error, programmed=programmed)


def rows_of(port):
    """The Port and Interface rows of a port, as the database has them."""
    programmed = {} if port.programmed is None else {"weft-programmed": port.programmed}
    interface = {
        "name": port.name,
        "external_ids": external_ids(port),
        "ofport": port.ofport,
        "ifindex": None,
        "error": port.error,
    }
    return {"name": port.name, "external_ids": programmed}, interface
