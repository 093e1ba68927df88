"""The endpoints /metrics, /healthz and /readyz, asked over real HTTP."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, Gauge

from daemon.health import Health, HealthServer, parse_address

WAIT = 10.0


class Daemon:
    """A daemon whose state the test sets."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.dead: list[str] = []
        self.unready: list[str] = []

    def live(self) -> Sequence[str]:
        return self.dead

    def ready(self) -> Sequence[str]:
        return self.unready

    def health(self) -> Health:
        return Health(self.registry, self.live, self.ready)


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


@pytest.fixture
def server(daemon: Daemon) -> Iterator[HealthServer]:
    with HealthServer("127.0.0.1:0", daemon.health()) as made:
        yield made


def ask(port: int, path: str, method: str = "GET", accept: str = "*/*") -> tuple[int, str, str]:
    """Status, content type and text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
    try:
        connection.request(method, path, headers={"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/livez", "/readyz?verbose"])
def test_all_is_well(server: HealthServer, path: str) -> None:
    assert ask(server.port, path)[::2] == (200, "ok\n")


def test_reasons_not_to_be_ready(server: HealthServer, daemon: Daemon) -> None:
    daemon.unready = ["the API server is unreachable", "bridge br-int is missing"]
    assert ask(server.port, "/readyz")[::2] == (
        503,
        "the API server is unreachable\nbridge br-int is missing\n",
    )
    assert ask(server.port, "/healthz")[0] == 200
    daemon.unready = []
    assert ask(server.port, "/readyz")[0] == 200


def test_reasons_to_be_restarted(server: HealthServer, daemon: Daemon) -> None:
    daemon.dead = ["the watch of nodes has ended"]
    assert ask(server.port, "/healthz")[::2] == (503, "the watch of nodes has ended\n")


def test_a_check_that_fails_is_no_good_sign() -> None:
    def broken() -> Sequence[str]:
        raise KeyError("state")

    health = Health(CollectorRegistry(), broken, broken)
    with HealthServer("127.0.0.1:0", health) as server:
        assert ask(server.port, "/healthz")[::2] == (503, "the check itself failed: KeyError: 'state'\n")


def test_metrics(server: HealthServer, daemon: Daemon) -> None:
    Gauge("weft_pods", "Pods on this node.", registry=daemon.registry).set(3)
    status, kind, text = ask(server.port, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    assert "# HELP weft_pods Pods on this node.\n" in text
    assert "weft_pods 3.0\n" in text


def test_metrics_in_the_format_that_is_asked_for(server: HealthServer) -> None:
    _, kind, text = ask(server.port, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_head(server: HealthServer) -> None:
    assert ask(server.port, "/healthz", method="HEAD")[::2] == (200, "")


def test_elsewhere(server: HealthServer) -> None:
    assert ask(server.port, "/")[::2] == (404, "try /metrics, /healthz or /readyz\n")


def test_further_documents_are_json_and_made_when_asked_for(daemon: Daemon) -> None:
    numbers = iter(range(2))
    health = replace(daemon.health(), documents={"/more": lambda: json.dumps(next(numbers)).encode()})
    with HealthServer("127.0.0.1:0", health) as server:
        assert [ask(server.port, "/more") for _ in range(2)] == [
            (200, "application/json", "0"),
            (200, "application/json", "1"),
        ]
        assert ask(server.port, "/")[::2] == (404, "try /metrics, /healthz, /more or /readyz\n")


def test_requests_at_the_same_time(server: HealthServer, daemon: Daemon) -> None:
    """A slow client does not keep the kubelet's probe waiting."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as slow:
        slow.sendall(b"GET /metrics HT")
        assert ask(server.port, "/healthz")[0] == 200


def test_a_client_that_goes_away_breaks_nothing(server: HealthServer, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        socket.create_connection(("127.0.0.1", server.port), timeout=WAIT).close()
    assert ask(server.port, "/healthz")[0] == 200
    assert capfd.readouterr().err == ""


def test_close_gives_the_port_back(daemon: Daemon) -> None:
    server = HealthServer("127.0.0.1:0", daemon.health())
    server.start()
    port = server.port
    server.close()
    server.close()
    assert not [each for each in threading.enumerate() if each.name == "health"]
    with HealthServer(f"127.0.0.1:{port}", daemon.health()) as again:
        assert ask(again.port, "/healthz")[0] == 200


def test_close_without_start(daemon: Daemon) -> None:
    HealthServer("127.0.0.1:0", daemon.health()).close()


def test_a_port_in_use_is_named(server: HealthServer, daemon: Daemon) -> None:
    with pytest.raises(OSError, match=f"health address 127.0.0.1:{server.port}"):
        HealthServer(f"127.0.0.1:{server.port}", daemon.health())


def test_ipv6(daemon: Daemon) -> None:
    with HealthServer("[::1]:0", daemon.health()) as server:
        connection = http.client.HTTPConnection("::1", server.port, timeout=WAIT)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()


@pytest.mark.parametrize(
    ("text", "pair"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), (":9100", ("", 9100)), ("node:1", ("node", 1))],
)
def test_addresses(text: str, pair: tuple[str, int]) -> None:
    assert parse_address(text) == pair


@pytest.mark.parametrize("text", ["", "127.0.0.1", "::1:80", "x:65536", "x:-1", "x:y", "[::1]", "80"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="give HOST:PORT"):
        parse_address(text)
