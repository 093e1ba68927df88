"""What a switch's database says that Weft has to give back when it goes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from node_agent import removal
from node_agent.removal import RemovalError, Switch

_MOVED = json.dumps({"addresses": ["192.0.2.1/24"], "routes": []})


def answer(*bridges: tuple[str, dict[str, str], list[str]], managers: tuple[dict[str, str], ...] = ()) -> str:
    """As a database with bridges (name, external_ids, ports) and managers (external_ids) answers."""
    names = sorted({port for _, _, ports in bridges for port in ports})
    ids = {name: ["uuid", f"00000000-0000-0000-0000-{number:012}"] for number, name in enumerate(names)}
    rows: list[dict[str, Any]] = []
    for name, keys, ports in bridges:
        members = [ids[port] for port in ports]
        value = members[0] if len(members) == 1 else ["set", members]
        rows.append({"name": name, "external_ids": ["map", [list(each) for each in keys.items()]], "ports": value})
    ports = [{"_uuid": ids[name], "name": name} for name in names]
    reached = [
        {"_uuid": ["uuid", f"manager-{number}"], "external_ids": ["map", [list(each) for each in keys.items()]]}
        for number, keys in enumerate(managers)
    ]
    return json.dumps([{"rows": each} for each in (rows, ports, reached, [])])


def test_a_switch_of_somebody_else_has_nothing_of_weft() -> None:
    assert removal.read_switch(answer(("br0", {"owner": "me"}, ["br0", "eth0"]))) == Switch()


def test_the_bridges_of_weft_are_known_by_their_keys() -> None:
    ours = ("br-int", {"weft-node": "node1"}, ["br-int", "weft-gw0"])
    assert removal.read_switch(answer(ours, ("br0", {}, ["br0"]))) == Switch(("br-int",))


def test_the_transport_interface_is_the_bridges_other_port() -> None:
    switch = removal.read_switch(answer(("br-phy", {"weft-transport-addresses": _MOVED}, ["br-phy", "eth1"])))
    assert switch.bridges == ("br-phy",)
    assert switch.transport is not None
    assert (switch.transport.interface, switch.transport.bridge_ifname) == ("eth1", "br-phy")
    assert [str(each) for each in switch.transport.addressing.addresses] == ["192.0.2.1/24"]


def test_a_transport_bridge_that_lost_its_interface_has_nothing_to_give_back() -> None:
    switch = removal.read_switch(answer(("br-phy", {"weft-transport-addresses": _MOVED}, ["br-phy"])))
    assert switch == Switch(("br-phy",))


def test_what_weft_made_to_be_reached_by_is_told_from_what_others_did() -> None:
    switch = removal.read_switch(answer(managers=({"owner": "me"}, {"weft-node": "node1"})))
    assert switch == Switch(access=(("manager_options", "manager-1"),))


@pytest.mark.parametrize(
    "text", ["", "[]", '[{"error": "x"}, {}]', answer(("b", {"weft-transport-addresses": "?"}, ["b", "eth1"]))]
)
def test_what_cannot_be_read_is_an_error_and_not_an_empty_switch(text: str) -> None:
    with pytest.raises(RemovalError):
        removal.read_switch(text)
