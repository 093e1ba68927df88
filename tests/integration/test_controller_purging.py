"""weft-controller asks for a purge of a node's datapath flows behind every change, where its switch needs that."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_fixture import (
    BRIDGE,
    NAME,
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

from lab.client import ApiClient
from ovsdb.rows import parse_purging


@pytest.fixture
def ovs(tmp_path: Path) -> Iterator[PrivateOvs]:
    with private_ovs(tmp_path) as made:
        yield made


@pytest.fixture
def kube() -> Iterator[ApiClient]:
    with api() as made:
        yield made


def start(kube: ApiClient, ovs: PrivateOvs) -> dict[str, object]:
    return {
        "api_server": url(kube), "openflow_listen": f"unix:{ovs.root}/of.sock", "health_address": "127.0.0.1:0",
        "audit_seconds": 1,
    }  # fmt: skip


@pytest.fixture
def working(kube: ApiClient, ovs: PrivateOvs) -> Iterator[Running]:
    """A controller with one node, one pod on it, and the pod's port in service; nobody has said that purges are
    needed."""
    with controller(**start(kube, ovs)) as made:
        make_bridge(ovs, NAME, f"unix:{ovs.root}/of.sock")
        kube.apply([node(NAME, "10.77.0.0/24", ovs), pod("web", NAME)])
        make_port(ovs, WEB)
        until(lambda: programmed(ovs, WEB.name) == "c0ffee", "the port programmed")
        yield made


def ids(ovs: PrivateOvs) -> dict[str, str]:
    told = ovs.vsctl("--bare", "--columns=external_ids", "list", "Bridge", BRIDGE)
    return dict(each.split("=", 1) for each in told.split())


def asked(ovs: PrivateOvs) -> int:
    return parse_purging(ids(ovs)).asked


def need(ovs: PrivateOvs) -> None:
    ovs.vsctl("set", "Bridge", BRIDGE, "external_ids:weft-needs-purge=true")


def sends(running: Running) -> int:
    return len(running.logged("flows sent"))


def change(kube: ApiClient, ovs: PrivateOvs) -> None:
    """The pod goes and comes, and with it its flows."""
    kube.request("DELETE", "/api/v1/namespaces/default/pods/web?gracePeriodSeconds=0")
    until(lambda: programmed(ovs, WEB.name) == "", "the announcement taken back")
    kube.apply([pod("web", NAME)])
    until(lambda: programmed(ovs, WEB.name) == "c0ffee", "the port programmed")


def test_without_need_nothing_is_written(working: Running, kube: ApiClient, ovs: PrivateOvs) -> None:
    change(kube, ovs)
    change(kube, ovs)
    assert set(ids(ovs)) == {"weft-node"}


def test_changes_are_asked_for_at_most_once_each_and_audits_without_changes_not_at_all(
    working: Running, kube: ApiClient, ovs: PrivateOvs
) -> None:
    need(ovs)
    until(lambda: asked(ovs) == 1, "the first request")
    before = sends(working)
    change(kube, ovs)
    two_audits(working)
    after = asked(ovs)
    assert 1 < after <= 1 + sends(working) - before
    two_audits(working)
    assert asked(ovs) == after


def two_audits(running: Running) -> None:
    def done() -> float:
        return running.metrics()["weft_read_flows_seconds_count",]

    before = done()
    until(lambda: done() >= before + 2, "two audits")


def test_what_an_audit_repairs_is_asked_for(working: Running, ovs: PrivateOvs) -> None:
    need(ovs)
    until(lambda: asked(ovs) == 1, "the first request")
    ovs.ofctl("-O", "OpenFlow15", "del-flows", BRIDGE)
    working.wait_logged("flows sent", repair=True)
    until(lambda: asked(ovs) == 2, "a request for the repair")


def test_the_next_controller_goes_on_from_the_number_that_is_there(
    working: Running, kube: ApiClient, ovs: PrivateOvs
) -> None:
    need(ovs)
    until(lambda: asked(ovs) == 1, "the first request")
    change(kube, ovs)
    working.end(signal.SIGKILL)
    ovs.vsctl("set", "Bridge", BRIDGE, "external_ids:weft-purge=700")
    with controller(**start(kube, ovs)):
        until(lambda: asked(ovs) > 700, "a request of the next controller")
