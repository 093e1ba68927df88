"""The API on real sockets: in two network namespaces at once, stopped while it is watched, started again."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from netns_fixture import namespaces

from lab.api.app import make_app
from lab.api.builtin import CONFIG_MAPS
from lab.api.handle import LabApi
from lab.api.server import ApiServer, ServerError, local_socket, serve

WAIT = 10.0  # seconds; a bound on hanging, never the expected time


@contextmanager
def connected(url: str) -> Iterator[http.client.HTTPConnection]:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=WAIT)
    try:
        yield connection
    finally:
        connection.close()


def get(url: str, path: str) -> Any:
    with connected(url) as connection:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())


def test_one_api_in_two_network_namespaces() -> None:
    with namespaces("api") as (inside,):
        inside.ip("link set lo up")
        far = inside.run(lambda: socket.create_server(("127.0.0.1", 8001)))
        with ApiServer(make_app(LabApi()), [local_socket(), far]) as server:
            assert get(server.urls[0], "/version")["minor"] == "32"
            assert inside.run(lambda: get("http://127.0.0.1:8001", "/api/v1/namespaces"))["kind"] == "NamespaceList"


def test_ipv6() -> None:
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    with ApiServer(make_app(LabApi()), [listener]) as server:
        assert server.urls[0].startswith("http://[::1]:")
        assert get(server.urls[0], "/api")["versions"] == ["v1"]


def test_a_change_reaches_a_watcher_on_the_wire() -> None:
    api = LabApi()
    with ApiServer(make_app(api), [local_socket()]) as server, connected(server.urls[0]) as connection:
        connection.request("GET", f"/api/v1/configmaps?watch=1&resourceVersion={api.version}")
        lines = connection.getresponse()
        api.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "default"}})
        assert json.loads(lines.readline())["object"]["metadata"]["name"] == "a"


def test_stopping_ends_watches_and_frees_the_port_and_the_objects_stay() -> None:
    api = LabApi()
    first = serve(make_app(api), [local_socket()])
    port = urlsplit(first.urls[0]).port or 0
    with connected(first.urls[0]) as connection:
        connection.request("GET", f"/api/v1/configmaps?watch=1&resourceVersion={api.version}")
        lines = connection.getresponse()
        first.stop()
        first.stop()
        assert lines.readline() == b""
    with pytest.raises(ConnectionRefusedError):
        get(first.urls[0], "/version")
    api.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "default"}})
    with ApiServer(make_app(api), [local_socket(port)]) as second:
        assert len(get(second.urls[0], "/api/v1/configmaps")["items"]) == 1


def test_answers_are_sent_at_once() -> None:
    """Each answer is two writes; a socket that held the second back would make every request wait 40 ms."""
    with local_socket() as listener:
        ApiServer(make_app(LabApi()), [listener]).stop()  # Never started, so the socket is still ours.
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_that_cannot_start_says_so() -> None:
    listener = local_socket()
    server = ApiServer(make_app(LabApi()), [listener])
    listener.close()
    with pytest.raises(ServerError, match="did not start"):
        server.start()
    server.stop()
