"""Where commands look: the sockets that are named, a lab, or this machine's Open vSwitch."""

import json
from pathlib import Path

import pytest

from cli.errors import CliError
from cli.target import Fabric, choose_lab, find_agents, find_fabric, of_sockets
from cli.view import AgentPlace, Place
from cli.where import Where, default_kubeconfig

ONE = Place("unix:/a/db.sock", Path("/a/br-int.mgmt"), node="node1")
TWO = Place("unix:/b/db.sock", Path("/b/br-int.mgmt"), node="node2")


def test_a_run_directory_has_both_sockets_under_their_usual_names(tmp_path: Path) -> None:
    (place,) = of_sockets(Where(rundir=str(tmp_path))).places
    assert place == Place(f"unix:{tmp_path}/db.sock", tmp_path / "br-int.mgmt")


def test_another_bridge(tmp_path: Path) -> None:
    (place,) = of_sockets(Where(rundir=str(tmp_path), bridge="br0")).places
    assert (place.management, place.bridge) == (tmp_path / "br0.mgmt", "br0")


def test_both_sockets_by_name() -> None:
    (place,) = of_sockets(Where(ovsdb="tcp:127.0.0.1:6640", openflow="unix:/x/br-int.mgmt")).places
    assert (place.ovsdb, place.management) == ("tcp:127.0.0.1:6640", Path("/x/br-int.mgmt"))


def test_one_socket_by_name_and_the_other_from_the_run_directory(tmp_path: Path) -> None:
    (place,) = of_sockets(Where(rundir=str(tmp_path), ovsdb="unix:/x/db.sock")).places
    assert (place.ovsdb, place.management) == ("unix:/x/db.sock", tmp_path / "br-int.mgmt")


@pytest.mark.parametrize(
    ("where", "complaint"),
    [
        (Where(ovsdb="unix:/x"), "--openflow is missing"),
        (Where(openflow="unix:/x"), "--ovsdb is missing"),
        (Where(rundir="/nowhere"), "no such directory"),
        (Where(ovsdb="unix:/x", openflow="tcp:1.2.3.4:6653"), "--openflow 'tcp:1.2.3.4:6653'"),
        (Where(ovsdb="unix:/x", openflow="unix:relative"), "absolute"),
        (Where(lab="a", rundir="/x"), "exclude each other"),
        (Where(lab="no-such-lab-here"), "`weftctl lab up --name no-such-lab-here` makes one"),
        (Where(lab="Bad!"), "lab name 'Bad!'"),
    ],
)
def test_complaints_say_what_to_do(where: Where, complaint: str) -> None:
    with pytest.raises(CliError, match=complaint):
        find_fabric(where)


@pytest.mark.parametrize(("up", "chosen"), [((), ""), (("only",), "only"), (("b", "lab", "a"), "lab")])
def test_which_lab_is_meant(up: tuple[str, ...], chosen: str) -> None:
    assert choose_lab(up) == chosen


def test_several_labs_have_to_be_told_apart() -> None:
    with pytest.raises(CliError, match="several labs are up: a, b; choose with --lab"):
        choose_lab(["b", "a"])


def test_one_node_of_a_fabric() -> None:
    fabric = Fabric("lab x", (ONE, TWO))
    assert fabric.only("node2").places == (TWO,)
    assert fabric.only("") is fabric


def test_a_node_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(CliError, match="lab x has no node 'node9': it has node1, node2"):
        Fabric("lab x", (ONE, TWO)).only("node9")


def test_a_single_node_is_asked_for_its_name_later() -> None:
    unnamed = Place("unix:/a/db.sock", Path("/a/br-int.mgmt"))
    assert Fabric("/a", (unnamed,)).only("whatever").places == (unnamed,)


def test_agents_by_address() -> None:
    found = find_agents(Where(), (), ["10.0.0.1:9443", "[::1]:9443", "10.0.0.1:9443"])
    assert found == [("", AgentPlace("10.0.0.1:9443")), ("", AgentPlace("[::1]:9443"))]


def test_the_agent_of_a_single_node_is_where_agents_are_by_default(tmp_path: Path) -> None:
    where = Where(rundir=str(tmp_path))
    assert find_agents(where, (), ()) == [("", AgentPlace("127.0.0.1:9443"))]
    assert find_agents(where, ["n1", "n1"], ()) == [("n1", AgentPlace("127.0.0.1:9443"))]


@pytest.mark.parametrize(
    ("where", "nodes", "address", "complaint"),
    [
        (Where(), (), "nowhere", "--agent: address 'nowhere': give HOST:PORT"),
        (Where(), ["n1"], "127.0.0.1:1", "exclude each other"),
        (Where(lab="lab"), (), "127.0.0.1:1", "exclude each other"),
        (Where(rundir="/x"), (), "127.0.0.1:1", "exclude each other"),
    ],
)
def test_agents_that_cannot_be_meant(where: Where, nodes: list[str], address: str, complaint: str) -> None:
    with pytest.raises(CliError, match=complaint):
        find_agents(where, nodes, [address])


def test_a_cluster_comes_before_what_runs_on_this_machine(tmp_path: Path) -> None:
    """Nobody answers at this one, so that it is seen to have been asked."""
    where = Where(kubeconfig=kubeconfig(tmp_path / "k"))
    with pytest.raises(
        CliError, match=r"cannot look for Weft's pods in namespace weft-system: GET http://127\.0\.0\.1:9/"
    ):
        find_fabric(where, tmp_path)


def test_kubectls_plugin_asks_the_usual_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "k"))
    with pytest.raises(CliError, match=r"in namespace elsewhere: GET http://127\.0\.0\.1:9/"):
        find_fabric(Where(cluster=True, weft_namespace="elsewhere"), tmp_path)


def test_sockets_come_before_a_cluster(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "k")
    fabric = find_fabric(Where(rundir=str(tmp_path), kubeconfig=path, context="main"))
    assert (fabric.api, fabric.context) == (path, "main")


def test_a_context_beside_sockets_is_one_of_the_usual_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/some/where")
    assert find_fabric(Where(rundir=str(tmp_path), context="main")).api == "/some/where"


def test_a_kubeconfig_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("this: is none")
    with pytest.raises(CliError, match="kubeconfig"):
        find_fabric(Where(kubeconfig=str(tmp_path / "k")))


@pytest.mark.parametrize(
    ("environ", "path"),
    [({"KUBECONFIG": "/a:/b"}, "/a:/b"), ({"HOME": "/home/me"}, "/home/me/.kube/config"), ({}, "/root/.kube/config")],
)
def test_which_kubeconfig_is_the_usual_one(environ: dict[str, str], path: str) -> None:
    assert default_kubeconfig(environ) == path


def kubeconfig(path: Path) -> str:
    """Of a cluster where nobody answers."""
    clusters = [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}]
    contexts = [{"name": "main", "context": {"cluster": "c", "user": "u"}}]
    held = {
        "clusters": clusters,
        "contexts": contexts,
        "users": [{"name": "u", "user": {}}],
        "current-context": "main",
    }
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **held}))
    return str(path)
