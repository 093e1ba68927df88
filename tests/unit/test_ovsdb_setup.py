"""What a node's bridge is set to, as far as that needs no database."""

from ipaddress import ip_address

import pytest

from ovsdb.setup import BridgeError, TunnelConfig, bridge_mac, check_version, needs_purge, tunnel_options


@pytest.mark.parametrize("version", ["2.17.0", "2.17", "3.1.0", "3.10.2", ""])
def test_new_enough_switches_pass(version):
    check_version(version)


@pytest.mark.parametrize("version", ["2.16.9", "1.99", "2.9.0"])
def test_an_old_switch_is_named_with_the_least_version(version):
    with pytest.raises(BridgeError, match=rf"Open vSwitch {version} is too old: Weft needs 2\.17 or newer"):
        check_version(version)


def test_a_version_that_is_none_is_refused():
    with pytest.raises(BridgeError, match="'master' is no version number"):
        check_version("master")


@pytest.mark.parametrize("version", ["2.17.0", "2.17.11", "3.0.5", "3.1.0", "3.2.99", "", "master"])
def test_the_userspace_datapath_needs_purges_before_3_3_and_where_the_version_is_not_known(version):
    assert needs_purge("netdev", version)


@pytest.mark.parametrize("version", ["3.3.0", "3.3", "3.10.1", "4.0.0"])
def test_newer_switches_need_none(version):
    assert not needs_purge("netdev", version)


@pytest.mark.parametrize("version", ["2.17.0", "3.1.0", "3.3.0", ""])
def test_the_kernels_datapath_needs_none(version):
    assert not needs_purge("system", version)


def test_flows_choose_where_a_tunnel_goes():
    assert tunnel_options(TunnelConfig("vxlan", 4789, ip_address("192.0.2.1"))) == {
        "remote_ip": "flow",
        "key": "flow",
        "csum": "true",
        "dst_port": "4789",
        "local_ip": "192.0.2.1",
    }


def test_without_a_local_address_the_switch_chooses():
    assert "local_ip" not in tunnel_options(TunnelConfig())


def test_bridge_macs_are_unicast_and_local():
    first = int(bridge_mac(0xFFFF_FFFF_FFFF_FFFF)[:2], 16)
    assert first & 3 == 2
    assert bridge_mac(0x1234) == "0e:62:00:00:12:34"
