"""What is formatted is parsed back; whatever else is parsed is refused in one way only."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kube.annotations import DATAPATH_ID, MTU, OVSDB, TUNNEL_IP, NodeAnnotations
from kube.errors import ParseError
from kube.objects import IPAddress


def reachable(address: IPAddress) -> bool:
    return not (
        address.is_unspecified
        or address.is_multicast
        or address.is_loopback
        or (address.version == 6 and address.is_link_local)
    )


def endpoint(address: IPAddress, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


addresses = st.ip_addresses()
endpoints = st.builds(endpoint, addresses, st.integers(1, 65535))
paths = st.text("abcXYZ019-_./ é", max_size=40).map(lambda rest: f"unix:/{rest}")
remotes = st.one_of(paths, endpoints.map(lambda each: f"tcp:{each}"), endpoints.map(lambda each: f"ssl:{each}"))
annotations = st.builds(
    NodeAnnotations,
    tunnel_ip=st.none() | addresses.filter(reachable),
    ovsdb=st.none() | remotes,
    datapath_id=st.none() | st.integers(1, 2**64 - 1),
    mtu=st.none() | st.integers(576, 65535),
)

# A busy machine is no failure.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@calm
@given(annotations)
def test_parse_gives_back_what_was_formatted(known: NodeAnnotations) -> None:
    assert NodeAnnotations.parse("w1", known.format()) == known


@calm
@given(st.dictionaries(st.sampled_from([TUNNEL_IP, OVSDB, DATAPATH_ID, MTU]), st.text() | remotes))
def test_any_text_is_understood_or_refused(texts: dict[str, str]) -> None:
    try:
        known = NodeAnnotations.parse("w1", texts)
    except ParseError:
        return
    assert NodeAnnotations.parse("w1", known.format()) == known
