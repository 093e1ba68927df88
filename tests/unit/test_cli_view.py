"""A node from the rows of its database."""

from pathlib import Path

import pytest
from cli_fixture import pod_port, tables, view

from cli.errors import CliError
from cli.view import Place, names_of, read_node
from openflow import example
from openflow.flow import Feature, cookie

PLACE = Place("unix:/x/db.sock", Path("/x/br-int.mgmt"))


def test_what_the_rows_say() -> None:
    alpha = view()
    assert (alpha.node, alpha.tunnel_ip, alpha.mtu) == ("alpha", "192.0.2.1", 1450)
    assert alpha.controllers == {"unix:/run/weft/openflow.sock": True}
    assert sorted(alpha.bridge.ports) == ["db-4d5e6f", "web-1a2b3c"]


def test_a_node_goes_by_the_name_it_is_known_by() -> None:
    assert view(node="node1").node == "node1"


def test_an_unclaimed_bridge_has_no_node_name() -> None:
    rows = tables()
    for bridge in rows["Bridge"].values():
        bridge["external_ids"] = {}
    assert read_node(PLACE, rows).node == "this node"


def test_no_such_bridge_lists_those_there_are() -> None:
    place = Place("unix:/x/db.sock", Path("/x/br0.mgmt"), "br0")
    with pytest.raises(CliError, match=r"no bridge br0 \(bridges: br-int\); give --bridge"):
        read_node(place, tables())


def test_a_database_without_any_bridge() -> None:
    rows = tables()
    rows["Bridge"].clear()
    with pytest.raises(CliError, match=r"bridges: none"):
        read_node(PLACE, rows)


def test_a_node_before_its_agent_has_made_tunnel_and_gateway() -> None:
    rows = tables()
    rows["Interface"] = {key: row for key, row in rows["Interface"].items() if row["name"] == "br-int"}
    rows["Port"] = {key: row for key, row in rows["Port"].items() if row["name"] == "br-int"}
    for bridge in rows["Bridge"].values():
        bridge["ports"] = frozenset(rows["Port"])
    bare = read_node(PLACE, rows)
    assert (bare.tunnel_ip, bare.mtu) == ("", None)
    with pytest.raises(CliError, match="has no port weft-gw0; is weft-agent running"):
        bare.number_of("weft-gw0")


def test_numbers_have_the_names_of_pods_ports_and_of_our_own() -> None:
    assert view().port_names == {65534: "br-int", 1: "weft-tun0", 2: "weft-gw0", 3: "web-1a2b3c", 4: "db-4d5e6f"}


def test_the_port_of_a_pod_is_the_one_that_works() -> None:
    old = pod_port(example.WEB, name="web-000000", ofport=None, programmed=None)
    found = view(old, pod_port(example.WEB)).pod_port("shop/web")
    assert found is not None
    assert found.name == "web-1a2b3c"
    assert view().pod_port("shop/nope") is None


def test_owners_are_the_pods_of_the_bridge_and_whoever_else_is_known() -> None:
    names = names_of(view(), ["bank/gone"], ["beta"])
    for owner, feature in (
        ("pod/shop/web", Feature.POD), ("pod/bank/gone", Feature.POD),
        ("node/alpha", Feature.NODE), ("node/beta", Feature.NODE),
    ):  # fmt: skip
        assert names.owner(cookie(feature, owner)) == owner


def test_the_run_directory_is_where_the_management_socket_is() -> None:
    assert PLACE.rundir == Path("/x")
