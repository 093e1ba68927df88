"""The SSL and Manager rows that the agent keeps, whose rows it leaves alone, and what it says of its certificate."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from keeper_fixture import VIEW, Host, host
from pki_fixture import Certified, Pki
from structlog.testing import capture_logs

from node_agent.access import CertificateWatch

INTERNAL = ip_address("192.0.2.1")
SEEN = replace(VIEW, internal_ips=(INTERNAL, ip_address("2001:db8::1")))
MANAGER, REMOTE = f"pssl:6640:{INTERNAL}", f"ssl:{INTERNAL}:6640"
OPENFLOW = "ssl:192.0.2.9:6653"
COLUMNS = {
    "Open_vSwitch": "ssl,manager_options",
    "SSL": "_uuid,private_key,certificate,ca_cert,bootstrap_ca_cert,external_ids",
    "Manager": "_uuid,target,external_ids",
}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def settings(certified: Certified) -> dict[str, object]:
    files = certified.files
    return {
        "tls_ca": files.ca, "tls_certificate": files.certificate, "tls_key": files.key,
        "published_ovsdb": "ssl:6640", "controllers": (OPENFLOW,),
    }  # fmt: skip


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Host]:
    with host(tmp_path_factory.mktemp("keeper"), **settings(pki.agent)) as made:
        made.kept(SEEN)
        yield made


@pytest.fixture
def clean(node: Host) -> Iterator[Host]:
    """The node with everything in order, before and after."""
    yield node
    node.ovs.vsctl("del-manager", "--", "del-ssl")
    node.restart_agent(published_ovsdb="ssl:6640")
    node.kept(SEEN)


def rows(node: Host) -> dict[str, list[list[object]]]:
    return {table: listed(node, table, columns) for table, columns in COLUMNS.items()}


def listed(node: Host, table: str, columns: str) -> list[list[object]]:
    told = json.loads(node.ovs.vsctl("--format=json", f"--columns={columns}", "list", table))
    found: list[list[object]] = told["data"]
    return sorted(found, key=str)


def named(node: Host) -> object:
    """The rows by what is in them."""
    return [[row[1:] for row in rows(node)[table]] for table in ("SSL", "Manager")]


def managers(node: Host) -> list[str]:
    return node.ovs.vsctl("get-manager").split()


def test_the_rows_say_what_the_settings_say(node: Host, pki: Pki) -> None:
    marked = ["map", [["weft-node", "n1"]]]
    files = [str(path) for path in (pki.agent.key, pki.agent.certificate, pki.agent.ca)]
    assert named(node) == [[[*files, False, marked]], [[MANAGER, marked]]]
    assert node.ovs.vsctl("get-controller", "br-int").split() == [OPENFLOW]
    assert node.annotations["weft.dev/ovsdb"] == REMOTE


def test_rows_that_are_right_are_left_alone_also_by_an_agent_that_starts_again(node: Host) -> None:
    before = rows(node)
    node.kept(SEEN)
    node.restart_agent()
    node.kept(SEEN)
    assert rows(node) == before


Damage = Callable[[Host], object]


def _vsctl(*arguments: str) -> Damage:
    return lambda node: node.ovs.vsctl(*arguments)


DAMAGES: dict[str, Damage] = {
    "no SSL row": _vsctl("del-ssl"),
    "other files": _vsctl("set-ssl", "/x", "/y", "/z"),
    "a CA certificate taken from whoever comes first": _vsctl("set", "SSL", ".", "bootstrap_ca_cert=true"),
    "no Manager": _vsctl("del-manager"),
    "another port": _vsctl("set", "Manager", MANAGER, 'target="pssl:6642"'),
    "no mark on it": _vsctl("clear", "Manager", MANAGER, "external_ids"),
    "neither": _vsctl("del-ssl", "--", "del-manager"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_is_repaired_within_one_round(node: Host, what: str) -> None:
    before = named(node)
    DAMAGES[what](node)
    assert named(node) != before
    node.kept(SEEN)
    assert named(node) == before


def test_a_manager_follows_the_nodes_address(clean: Host) -> None:
    clean.kept(replace(SEEN, internal_ips=(ip_address("2001:db8::1"),)))
    assert managers(clean) == ["pssl:6640:[2001:db8::1]"]
    assert clean.annotations["weft.dev/ovsdb"] == "ssl:[2001:db8::1]:6640"


def test_an_address_that_nobody_knows_is_told_and_changes_nothing(node: Host) -> None:
    before = rows(node)
    node.keep(VIEW)
    assert "published-ovsdb ssl:6640: the Node has no InternalIP" in node.keeper.problem
    assert rows(node) == before
    node.kept(SEEN)


def test_an_address_that_is_given_beats_the_nodes(clean: Host) -> None:
    clean.restart_agent(published_ovsdb="ssl:[2001:db8::1]:6641")
    clean.kept(VIEW)
    assert managers(clean) == ["pssl:6641:[2001:db8::1]"]


# The rows of others.


def test_managers_of_others_are_left_alone_and_told_if_they_are_open(clean: Host) -> None:
    theirs = ["ptcp:6650", "ptcp:6651:127.0.0.1", "pssl:6652"]
    clean.ovs.vsctl("set-manager", *theirs)
    with capture_logs() as logs:
        clean.kept(SEEN)
        clean.kept(SEEN)
    assert sorted(managers(clean)) == sorted([MANAGER, *theirs])
    assert [line["managers"] for line in logs if "managers" in line] == [("ptcp:6650",)], "once"


def test_a_manager_of_others_with_the_same_target_is_taken_over(clean: Host) -> None:
    before = named(clean)
    clean.ovs.vsctl("set-manager", MANAGER)
    clean.kept(SEEN)
    assert named(clean) == before


def test_without_tls_the_agents_rows_go_and_those_of_others_stay(clean: Host) -> None:
    clean.ovs.vsctl("--", "--id=@m", "create", "Manager", 'target="ptcp:6651:127.0.0.1"', "--", "add", "Open_vSwitch",
                    ".", "manager_options", "@m")  # fmt: skip
    without = {"tls_ca": None, "tls_certificate": None, "tls_key": None, "published_ovsdb": None}
    before = clean.settings
    clean.restart_agent(**without, controllers=())
    clean.kept(SEEN)
    assert managers(clean) == ["ptcp:6651:127.0.0.1"]
    assert listed(clean, "Open_vSwitch", "ssl") == [[["set", []]]]
    clean.ovs.vsctl("set-ssl", "/x", "/y", "/z")
    clean.kept(SEEN)
    assert "/x" in clean.ovs.vsctl("get-ssl")
    clean.settings = before


# The certificate.


def looked(certified: Certified) -> CertificateWatch:
    watch = CertificateWatch(certified.files)
    watch.look(time.time())
    return watch


def test_a_certificate_in_order_is_no_problem(pki: Pki) -> None:
    watch = looked(pki.agent)
    assert watch.problem == ""
    assert watch.expires > time.time()


def test_what_is_wrong_with_a_certificate_is_told(pki: Pki, tmp_path: Path) -> None:
    assert "expired on" in looked(pki.expired).problem
    assert "DNS name weft-agent (subjectAltName), and this one has weft-nobody" in looked(pki.misnamed).problem
    assert "No such file" in looked(replace(pki.agent, key=tmp_path / "none")).problem


def test_a_certificate_that_is_mended_is_no_problem_any_more_and_each_problem_is_logged_once(
    pki: Pki, tmp_path: Path
) -> None:
    mounted = pki.misnamed.put(tmp_path / "tls")
    watch = CertificateWatch(mounted.files)
    with capture_logs() as logs:
        watch.look(time.time())
        watch.look(time.time())
        assert watch.problem
        pki.agent.put(tmp_path / "tls")
        watch.look(time.time())
    assert watch.problem == ""
    assert len(logs) == 1
