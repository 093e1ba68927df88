"""What Kubernetes tells of nodes and pods."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from cli.directory import NodeInfo, PodInfo, look_up, parse_node_info, pod_info
from kube.endpoint import from_url
from kube.errors import ParseError
from kube.objects import parse_pod


def _node(ready: str | None = "True", **annotations: str) -> dict[str, Any]:
    conditions = [{"type": "NetworkUnavailable", "status": "False"}]
    conditions += [{"type": "Ready", "status": ready}] if ready else []
    return {
        "metadata": {"name": "node1", "annotations": {f"weft.dev/{key}": text for key, text in annotations.items()}},
        "spec": {"podCIDRs": ["10.244.1.0/24", "fd57:244:0:1::/64"]},
        "status": {"conditions": conditions},
    }


def _pod(name: str = "web", **changes: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"nodeName": "node1", **changes.get("spec", {})},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.244.1.5"}], **changes.get("status", {})},
    }


def _bytes(obj: dict[str, Any]) -> bytes:
    return json.dumps(obj).encode()


@pytest.mark.parametrize(("status", "ready"), [("True", True), ("False", False), ("Unknown", False), (None, None)])
def test_a_node_is_ready_when_its_condition_says_so(status: str | None, ready: bool | None) -> None:
    info = parse_node_info(_bytes(_node(status, mtu="1450")))
    assert info == NodeInfo("node1", ready, (ip_network("10.244.1.0/24"), ip_network("fd57:244:0:1::/64")), 1450)


def test_a_node_that_nobody_has_said_anything_about() -> None:
    assert parse_node_info(b'{"metadata": {"name": "n"}}') == NodeInfo("n", None, (), None)


def test_a_bad_annotation_is_refused_by_name() -> None:
    with pytest.raises(ParseError, match=r"node1.*weft\.dev/mtu"):
        parse_node_info(_bytes(_node(mtu="large")))


def test_a_pod() -> None:
    assert pod_info(parse_pod(_bytes(_pod()))) == PodInfo("shop/web", "node1", (ip_address("10.244.1.5"),))


@pytest.mark.parametrize(
    "changes",
    [
        {"spec": {"hostNetwork": True}},
        {"spec": {"nodeName": ""}},
        {"status": {"phase": "Succeeded"}},
        {"status": {"phase": "Failed"}},
    ],
)
def test_pods_that_need_no_port_are_left_out(changes: dict[str, Any]) -> None:
    assert pod_info(parse_pod(_bytes(_pod(**changes)))) is None


_NO_POLICIES: dict[str, dict[str, Any]] = {
    "/api/v1/namespaces?limit=500": {"metadata": {"resourceVersion": "1"}, "items": []},
    "/apis/networking.k8s.io/v1/networkpolicies?limit=500": {"metadata": {"resourceVersion": "1"}, "items": []},
}


@contextmanager
def _api(answers: dict[str, dict[str, Any]]) -> Iterator[str]:
    """An API server that gives these answers by path and query."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(self.path)
            body = _bytes(found if found is not None else {"kind": "Status", "message": "no", "code": 403})
            self.send_response(200 if found is not None else 403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, *_: Any) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _list(*items: dict[str, Any], following: str = "") -> dict[str, Any]:
    return {"metadata": {"resourceVersion": "1", **({"continue": following} if following else {})}, "items": [*items]}


def test_lists_are_read_to_their_last_page() -> None:
    answers = {
        **_NO_POLICIES,
        "/api/v1/nodes?limit=500": _list(_node()),
        "/api/v1/pods?limit=500": _list(_pod("a"), following="t1"),
        "/api/v1/pods?limit=500&continue=t1": _list(_pod("b"), _pod("c", status={"phase": "Failed"})),
    }
    with _api(answers) as url:
        found = look_up(from_url(url))
    assert (sorted(found.nodes), sorted(found.pods), found.problems) == (["node1"], ["shop/a", "shop/b"], ())


def test_one_object_that_cannot_be_read_does_not_hide_the_others() -> None:
    broken = _pod("broken", status={"podIPs": [{"ip": "x"}]})
    answers = {"/api/v1/nodes?limit=500": _list(), "/api/v1/pods?limit=500": _list(broken, _pod("fine"))}
    answers |= _NO_POLICIES
    with _api(answers) as url:
        found = look_up(from_url(url))
    assert sorted(found.pods) == ["shop/fine"]
    assert len(found.problems) == 1
    assert "shop/broken" in found.problems[0]


def test_who_may_not_read_policies_still_has_nodes_and_pods() -> None:
    answers = {"/api/v1/nodes?limit=500": _list(_node()), "/api/v1/pods?limit=500": _list(_pod("a"))}
    with _api(answers) as url:
        found = look_up(from_url(url))
    assert (sorted(found.nodes), sorted(found.pods)) == (["node1"], ["shop/a"])
    assert found.problems[0].startswith("policies cannot be read, so their flows have no names")


def test_an_api_that_refuses_leaves_the_directory_empty_and_says_why() -> None:
    with _api({}) as url:
        found = look_up(from_url(url))
    assert (found.nodes, found.pods) == ({}, {})
    assert "what it knows is missing" in found.problems[0]


def test_an_api_that_is_not_there() -> None:
    with _api({}) as url:
        pass
    assert look_up(from_url(url)).problems
