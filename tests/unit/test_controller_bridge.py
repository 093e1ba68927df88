"""Ports that claim one address or one OpenFlow port: who has it, and whose flows a change touches."""

from dataclasses import replace

import pytest
from cluster_fixture import SYSTEM, port

from controller.bridge import BridgeState, bridge_state
from ovsdb.rows import GATEWAY_PORT, TUNNEL_PORT

WEB = port("web", "10.1.0.5", "fd00::5", ofport=5)
DB = port("db", "10.1.0.6", "fd00::6", ofport=6)


def usable(state):
    return {name for name in state.ports if state.usable(name)}


def test_ports_that_claim_nothing_of_each_other_are_usable():
    state = bridge_state([WEB, DB], SYSTEM)
    assert usable(state) == {"web", "db"}
    assert state.rival(WEB) is None


@pytest.mark.parametrize(("ips", "number"), [(["10.1.0.5"], 7), (["10.1.0.7", "fd00::5"], 7), (["10.1.0.7"], 5)])
def test_one_claim_in_common_is_enough(ips, number):
    rival = port("zeta", *ips, ofport=number)
    state = bridge_state([rival, WEB], SYSTEM)
    assert usable(state) == {"web"}
    assert state.rival(rival) == "web"


def test_who_has_a_claim_does_not_depend_on_who_came_first():
    rival = port("alpha", "10.1.0.5", ofport=7)
    assert usable(bridge_state([WEB, rival], SYSTEM)) == usable(bridge_state([rival, WEB], SYSTEM)) == {"alpha"}


@pytest.mark.parametrize("number", [None, 0, -1])
def test_a_port_that_open_vswitch_has_not_opened_is_not_usable(number):
    state = bridge_state([replace(WEB, ofport=number)], SYSTEM)
    assert state.usable("web") is None


def test_a_port_that_is_not_there_is_not_usable():
    assert BridgeState().usable("web") is None


def test_a_claim_counts_before_the_port_is_open():
    state = bridge_state([port("alpha", "10.1.0.5"), WEB], SYSTEM)
    assert usable(state) == set()


def test_setting_a_port_touches_it_and_those_it_contends_with():
    state = bridge_state([WEB, DB], SYSTEM)
    assert state.set_port(replace(DB, ofport=9)) == {"db"}
    assert state.set_port(port("alpha", "10.1.0.5", ofport=8)) == {"alpha", "web"}


def test_changing_a_port_touches_those_of_its_old_and_of_its_new_claims():
    state = bridge_state([WEB, DB, port("alpha", "10.1.0.5", ofport=8)], SYSTEM)
    assert state.set_port(port("alpha", "10.1.0.6", ofport=8)) == {"alpha", "web", "db"}
    assert usable(state) == {"alpha", "web"}


def test_removing_a_port_frees_its_claims():
    state = bridge_state([WEB, port("alpha", "10.1.0.5", ofport=8)], SYSTEM)
    assert state.remove_port("alpha") == {"alpha", "web"}
    assert usable(state) == {"web"}


def test_removing_a_port_twice_is_once():
    state = bridge_state([WEB], SYSTEM)
    assert state.remove_port("web") == {"web"}
    assert state.remove_port("web") == set()
    assert state == bridge_state([], SYSTEM)


def test_setting_a_port_twice_is_once():
    state = bridge_state([WEB], SYSTEM)
    state.set_port(WEB)
    assert state == bridge_state([WEB], SYSTEM)


@pytest.mark.parametrize("number", [None, -1, 0])
def test_system_ports_that_are_not_open_have_no_number(number):
    state = bridge_state([], {TUNNEL_PORT: number, GATEWAY_PORT: 2})
    assert state.system_ports().tunnel is None
    assert state.system_ports().gateway == 2
