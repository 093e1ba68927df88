"""Rows at the border: what is read, what is refused with which words, and what is left to others."""

from dataclasses import replace
from ipaddress import ip_address
from uuid import UUID

import pytest

from ovsdb.errors import RowError
from ovsdb.rows import (
    AttachmentKey,
    ForeignPort,
    PodPort,
    PortRefused,
    Purging,
    SystemPort,
    external_ids,
    parse_bridge,
    parse_port,
    parse_purging,
    port_name,
    read_port,
)

KEY = AttachmentKey("weft", "c0ffee", "eth0")
PORT = PodPort(
    "web-1a2b3c", KEY, "default", "web-0", "uid-1", "0a:58:0a:01:00:05",
    (ip_address("10.1.0.5"), ip_address("fd00::5")), "/run/netns/web",
)  # fmt: skip


def interface(port=PORT, **columns):
    row = {"name": port.name, "external_ids": external_ids(port), "ofport": None, "ifindex": None, "error": None}
    return row | columns


def port_row(port=PORT, **columns):
    return {"name": port.name, "external_ids": {}} | columns


def with_key(key, value):
    return interface(external_ids=external_ids(PORT) | {key: value})


def test_the_keys_are_those_of_the_contract():
    assert external_ids(PORT) == {
        "iface-id": "default/web-0",
        "attached-mac": "0a:58:0a:01:00:05",
        "weft-ips": "10.1.0.5,fd00::5",
        "weft-container": "c0ffee",
        "weft-ifname": "eth0",
        "weft-netns": "/run/netns/web",
        "weft-network": "weft",
        "weft-pod-uid": "uid-1",
    }


def test_no_pod_uid_is_no_key():
    port = replace(PORT, uid="")
    assert "weft-pod-uid" not in external_ids(port)
    assert parse_port(port_row(), interface(port)) == port


def test_number_error_and_answer_come_with_the_port():
    read = parse_port(port_row(external_ids={"weft-programmed": "c0ffee"}), interface(ofport=7))
    assert read == replace(PORT, ofport=7, programmed="c0ffee")
    assert read.ready


def test_an_answer_for_an_earlier_container_is_not_ready():
    assert not parse_port(port_row(external_ids={"weft-programmed": "dead"}), interface(ofport=7)).ready


def test_a_port_is_leaving_when_it_is_this_containers() -> None:
    assert parse_port(port_row(external_ids={"weft-leaving": PORT.key.container}), interface()).leaving
    assert not parse_port(port_row(external_ids={"weft-leaving": "another"}), interface()).leaving
    assert not parse_port(port_row(), interface()).leaving


def test_a_device_that_cannot_be_opened_has_no_number():
    read = parse_port(port_row(), interface(ofport=-1, error="could not open network device web-1a2b3c"))
    assert (read.ofport, read.error) == (None, "could not open network device web-1a2b3c")


def test_upper_case_mac_is_read_as_lower_case():
    assert parse_port(port_row(), with_key("attached-mac", "0A:58:0A:01:00:05")).mac == PORT.mac


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("weft-ips", "10.0.0", "not a comma-separated list"),
        ("weft-ips", "", "not a comma-separated list"),
        ("weft-ips", "10.0.0.1/24", "not a comma-separated list"),
        ("weft-ips", "10.0.0.1, 10.0.0.2", "not a comma-separated list"),
        ("weft-ips", "10.0.0.1,10.0.0.2", "more than one address of a family"),
        ("attached-mac", "0a:58:0a:01:00", "not a MAC address"),
        ("attached-mac", "01:00:5e:00:00:01", "not a unicast"),
        ("attached-mac", "00:00:00:00:00:00", "not a unicast"),
        ("iface-id", "web-0", "not <namespace>/<pod>"),
        ("iface-id", "default/", "not <namespace>/<pod>"),
        ("iface-id", "Default/web", "not <namespace>/<pod>"),
        ("weft-container", "-x", "does not match"),
        ("weft-ifname", "a name", "does not match"),
        ("weft-netns", "", "does not match"),
    ],
)
def test_a_bad_value_is_named_with_its_key_and_port(key, value, why):
    with pytest.raises(RowError) as error:
        parse_port(port_row(), with_key(key, value))
    text = str(error.value)
    assert text.startswith(f"port web-1a2b3c: Interface.external_ids:{key} = {value!r}: ")
    assert why in text


def test_a_missing_key_is_said_to_be_missing():
    ids = external_ids(PORT)
    del ids["weft-container"]
    with pytest.raises(RowError, match="external_ids:weft-container is missing"):
        parse_port(port_row(), interface(external_ids=ids))


def test_ports_are_told_apart():
    tunnel = {"name": "weft-tun0", "external_ids": {}, "ofport": 1, "ifindex": 0, "error": None}
    assert read_port("br-int", {"name": "weft-tun0"}, [tunnel]) == SystemPort("weft-tun0", 1, None)
    local = tunnel | {"name": "br-int", "ofport": 65534, "ifindex": 9}
    assert read_port("br-int", {"name": "br-int"}, [local]) == SystemPort("br-int", 65534, 9)
    other = tunnel | {"name": "eth1", "external_ids": {"iface-id": "somebody"}}
    assert read_port("br-int", {"name": "eth1"}, [other]) == ForeignPort("eth1")
    assert read_port("br-int", port_row(), [interface()]) == PORT


def test_a_bond_of_pods_is_refused():
    assert read_port("br-int", port_row(), [interface(), interface()]) == PortRefused(
        "web-1a2b3c", "port web-1a2b3c: a pod's port has one interface, not 2; delete the port"
    )


def tables(*ports, bridge=None):
    """A database with one bridge; ports are (Port row, Interface row)."""
    made = {"Bridge": {}, "Port": {}, "Interface": {}}
    for n, (port, row) in enumerate(ports):
        made["Interface"][UUID(int=100 + n)] = row
        made["Port"][UUID(int=200 + n)] = port | {"interfaces": frozenset([UUID(int=100 + n)])}
    head = {"name": "br-int", "datapath_id": None, "datapath_type": "", "external_ids": {}}
    made["Bridge"][UUID(int=1)] = head | (bridge or {}) | {"ports": frozenset(made["Port"])}
    return made


def test_one_broken_port_does_not_hide_the_others():
    other = replace(PORT, name="db-445566", pod="db-0")
    broken = interface(name="bad-000000", external_ids=external_ids(PORT) | {"weft-ips": "?"})
    foreign = {"name": "eth1", "external_ids": {}, "ofport": 3, "ifindex": 4, "error": None}
    rows = tables(
        (port_row(), interface()),
        (port_row(other), interface(other)),
        (port_row(name="bad-000000"), broken),
        ({"name": "eth1", "external_ids": {}}, foreign),
    )
    bridge = parse_bridge("br-int", rows)
    assert bridge.ports == {"db-445566": other, "web-1a2b3c": PORT}
    assert list(bridge.ports) == ["db-445566", "web-1a2b3c"]
    assert bridge.foreign == {"eth1"}
    assert list(bridge.refused) == ["bad-000000"]
    assert "weft-ips" in bridge.refused["bad-000000"]


def test_the_bridge_tells_its_node_and_datapath():
    head = {
        "datapath_id": "00000000000000ff",
        "datapath_type": "netdev",
        "external_ids": {"weft-node": "n1", "weft-version": "0.1"},
    }
    bridge = parse_bridge("br-int", tables(bridge=head))
    assert (bridge.node, bridge.version, bridge.datapath_id, bridge.datapath_type) == ("n1", "0.1", 255, "netdev")


def test_an_unclaimed_bridge_has_no_node_and_the_default_datapath():
    bridge = parse_bridge("br-int", tables())
    assert (bridge.node, bridge.datapath_id, bridge.datapath_type) == ("", None, "system")


def test_no_such_bridge_is_none():
    assert parse_bridge("br-int", tables(bridge={"name": "br-other"})) is None


def test_the_port_name_starts_like_the_pod_and_tells_containers_apart():
    name = port_name("default", "frontend-7d9c4-x2x", KEY)
    assert name.startswith("frontend-")
    assert len(name) == 15
    assert name != port_name("default", "frontend-7d9c4-x2x", replace(KEY, container="other"))
    assert name != port_name("other", "frontend-7d9c4-x2x", KEY)
    assert name != port_name("default", "frontend-7d9c4-x2x", replace(KEY, ifname="net1"))


def test_the_start_of_a_port_name_never_ends_in_punctuation():
    assert port_name("default", "my-app.-x", KEY)[:-7] == "my-app"


# Purging.


def test_how_far_purging_is():
    ids = {"weft-needs-purge": "true", "weft-purge": "12", "weft-purged": "11"}
    assert parse_purging(ids) == Purging(needed=True, asked=12, served=11)


def test_nothing_said_is_nothing_needed_and_nothing_asked():
    assert parse_purging({"weft-node": "n1"}) == Purging(needed=False, asked=0, served=0)


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "\u0661", "9" * 5000])
def test_what_is_no_number_counts_as_none(text):
    assert parse_purging({"weft-needs-purge": text, "weft-purge": text, "weft-purged": text}) == Purging()
