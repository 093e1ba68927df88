"""Controllers as processes with one Lease: who listens and who stands by, what each tells, and how each ends."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from controller_fixture import (
    NAME,
    WAIT,
    WEB,
    Running,
    api,
    controller,
    make_bridge,
    make_port,
    node,
    pod,
    programmed,
    until,
    url,
)
from ovs_fixture import PrivateOvs, private_ovs
from wire_fixture import Wire, wire

from controller.leadership import LOST
from controller.main import UNUSABLE
from lab.client import ApiClient, ApiClientError

LEASE = "/apis/coordination.k8s.io/v1/namespaces/weft-system/leases/weft-controller"
MERGE = "application/merge-patch+json"
TAKEN, LOST_LINE = "lease taken: active from now on", "lease lost: this process ends, so that no two are active"

Obj = dict[str, Any]


@pytest.fixture
def kube() -> Iterator[ApiClient]:
    with api() as made:
        made.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "weft-system"}}])
        yield made


@pytest.fixture
def ovs(tmp_path: Path) -> Iterator[PrivateOvs]:
    with private_ovs(tmp_path) as made:
        yield made


def start(name: str, directory: Path, server: str, **settings: object) -> AbstractContextManager[Running]:
    """A candidate that would listen on a socket of its name."""
    target = f"unix:{directory}/{name}.sock"
    own = {"openflow_listen": target, "advertise": target, "identity": name, "health_address": "127.0.0.1:0"}
    return controller(api_server=server, lease="weft-system/weft-controller", **{**own, **settings})


def lease(kube: ApiClient) -> Obj:
    try:
        return kube.request("GET", LEASE)
    except ApiClientError as e:
        if e.code != 404:
            raise
        return {"metadata": {}, "spec": {}}


def holder(kube: ApiClient) -> str:
    """The identity of who holds it, without its random part."""
    return str(lease(kube)["spec"].get("holderIdentity", "")).rpartition("_")[0]


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


def ready(running: Running) -> None:
    until(lambda: running.get("/readyz") == (200, "ok\n"), "ready")


def is_active(running: Running) -> bool:
    return running.metrics()["weft_controller_active",] == 1


def test_one_is_active_and_the_other_stands_by_knowing_everything(
    kube: ApiClient, ovs: PrivateOvs, tmp_path: Path
) -> None:
    kube.apply([node(NAME, "10.77.0.0/24", ovs), node("t-bare", ""), pod("web", NAME)])
    with start("one", tmp_path, url(kube)) as one:
        one.wait_logged(TAKEN)
        with start("two", tmp_path, url(kube)) as two:
            line = two.wait_logged("standing by")
            assert line["holder"] == lease(kube)["spec"]["holderIdentity"]
            ready(one)
            ready(two)
            one.wait_logged("no bridge", node=NAME)
            until(lambda: two.metrics()["weft_pods",] == 1, "it knows the pod")
            assert (is_active(one), is_active(two)) == (True, False)
            assert (listens(tmp_path / "one.sock"), listens(tmp_path / "two.sock")) == (True, False)
            assert two.logged("no bridge") == two.logged("database read") == two.logged("problem") == []
            assert two.get("/healthz") == (200, "ok\n")
    events = kube.items("/api/v1/namespaces/default/events")
    assert [event["reason"] for event in events] == ["NoPodCIDR"], "told by one of them"


def test_who_ends_in_good_order_is_followed_at_once_and_the_next_tells_what_is_wrong(
    kube: ApiClient, ovs: PrivateOvs
) -> None:
    kube.apply([node("t-bare", ""), node(NAME, "10.77.0.0/24", ovs), pod("web", NAME)])
    # Open vSwitch connects to sockets in its own directory only.
    with start("one", ovs.root, url(kube)) as one, start("two", ovs.root, url(kube)) as two:
        until(lambda: holder(kube), "a holder")
        first, second = (one, two) if holder(kube) == "one" else (two, one)
        second.wait_logged("standing by")
        before = lease(kube)
        assert first.end() == 0
        first.wait_logged("lease released")
        released = lease(kube)
        assert released["metadata"]["annotations"]["weft.dev/openflow"]
        second.wait_logged(TAKEN)
        until(lambda: holder(kube) not in ("", before["spec"]["holderIdentity"].rpartition("_")[0]), "the next")
        after = lease(kube)
        assert after["metadata"]["annotations"] != before["metadata"]["annotations"]
        assert after["spec"]["leaseTransitions"] == 1
        second.wait_logged("problem", reason="NoPodCIDR")
        make_bridge(ovs, NAME, after["metadata"]["annotations"]["weft.dev/openflow"])
        make_port(ovs, WEB)
        until(lambda: programmed(ovs, WEB.name) == "c0ffee", "the port programmed by the next")
        assert is_active(second)


def test_who_cannot_renew_ends_before_another_begins(kube: ApiClient, tmp_path: Path) -> None:
    """Cut off alone, or because the API is away for all: it cannot know."""
    with ExitStack() as stack:
        wires: list[Wire] = [stack.enter_context(wire(kube.port)) for _ in range(2)]
        one = stack.enter_context(start("one", tmp_path, wires[0].url))
        one.wait_logged(TAKEN)
        two = stack.enter_context(start("two", tmp_path, wires[1].url))
        two.wait_logged("standing by")
        ready(two)
        wires[0].cut()
        assert one.process.wait(WAIT) == LOST
        ended = one.wait_logged(LOST_LINE)
        assert ended["reason"] == "it could not be renewed for 10 s"
        assert one.logged("lease not reached: trying again")
        began = two.wait_logged(TAKEN)
        assert ended["timestamp"] < began["timestamp"]


def test_with_the_api_away_for_all_nobody_is_active_until_it_is_back(kube: ApiClient, tmp_path: Path) -> None:
    with ExitStack() as stack:
        joint = stack.enter_context(wire(kube.port))
        one = stack.enter_context(start("one", tmp_path, joint.url))
        one.wait_logged(TAKEN)
        two = stack.enter_context(start("two", tmp_path, joint.url))
        two.wait_logged("standing by")
        joint.cut()
        assert one.process.wait(WAIT) == LOST
        assert (is_active(two), two.get("/readyz")) == (False, (200, "ok\n"))
        joint.mend()
        two.wait_logged("lease reached again")
        two.wait_logged(TAKEN)
        assert holder(kube) == "two"


def test_who_was_stopped_for_longer_than_the_lease_ends_as_it_goes_on(kube: ApiClient, tmp_path: Path) -> None:
    with start("one", tmp_path, url(kube)) as one:
        one.wait_logged(TAKEN)
        with start("two", tmp_path, url(kube)) as two:
            os.kill(one.process.pid, signal.SIGSTOP)
            two.wait_logged(TAKEN)
            os.kill(one.process.pid, signal.SIGCONT)
            assert one.process.wait(WAIT) == LOST
            assert holder(kube) == "two"
            assert is_active(two)


def test_a_process_of_the_same_name_is_another(kube: ApiClient, tmp_path: Path) -> None:
    """A holder that was killed and is started again waits as everybody does: its last words may still be on their
    way, and two may have been given one name."""
    with start("one", tmp_path, url(kube)) as one:
        one.wait_logged(TAKEN)
        with start("one", tmp_path, url(kube)) as again:
            line = again.wait_logged("standing by")
            assert line["holder"].startswith("one_")
            assert not is_active(again)


@pytest.mark.parametrize("spec", [{"holderIdentity": "somebody"}, None])
def test_a_lease_that_is_taken_away_ends_the_holder(kube: ApiClient, tmp_path: Path, spec: Obj | None) -> None:
    with start("one", tmp_path, url(kube)) as one:
        one.wait_logged(TAKEN)
        if spec is None:
            kube.request("DELETE", LEASE)
        else:
            kube.request("PATCH", LEASE, {"spec": spec}, MERGE)
        assert one.process.wait(WAIT) == LOST
        assert one.wait_logged(LOST_LINE)["reason"] == ("it was deleted" if spec is None else "somebody holds it now")


def test_who_cannot_listen_gives_the_lease_back_and_says_why(kube: ApiClient, tmp_path: Path) -> None:
    (tmp_path / "one.sock").write_text("precious")
    with start("one", tmp_path, url(kube)) as one:
        assert one.process.wait(WAIT) == UNUSABLE
        assert f"cannot listen on unix:{tmp_path}/one.sock" in one.wait_logged("cannot be active")["error"]
        one.wait_logged("lease released")
    assert (holder(kube), (tmp_path / "one.sock").read_text()) == ("", "precious")


def test_a_lease_that_cannot_be_made_is_told_by_readiness(tmp_path: Path) -> None:
    with api() as bare, start("one", tmp_path, url(bare)) as one:
        until(lambda: 'namespaces "weft-system" not found' in one.get("/readyz")[1], "the reason")
        assert one.get("/readyz")[0] == 503
        assert one.get("/readyz")[1].startswith("Lease weft-system/weft-controller: 404 NotFound")
        bare.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "weft-system"}}])
        one.wait_logged(TAKEN)
        ready(one)


def test_who_has_not_seen_the_cluster_takes_nothing(kube: ApiClient, tmp_path: Path) -> None:
    with start("one", tmp_path, "http://127.0.0.1:1") as one:
        one.wait_logged("lease not reached: trying again")
        assert one.get("/readyz")[0] == 503
        assert not is_active(one)
        assert one.end() == 0
        assert one.logged("lease released") == []


def test_a_controller_without_a_lease_is_always_active(kube: ApiClient, tmp_path: Path) -> None:
    target = f"unix:{tmp_path}/of.sock"
    with controller(api_server=url(kube), openflow_listen=target, health_address="127.0.0.1:0") as running:
        ready(running)
        assert is_active(running)
        assert lease(kube)["spec"] == {}
