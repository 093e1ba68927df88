"""The client against a real HTTP server that misbehaves on purpose."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from kube_fixture import WAIT, FakeServer, Handler, Sink, change, endless, hang_up, listing, serve, stream, text

from kube import endpoint
from kube.changes import Applied, Listed, Refused
from kube.client import ApiClient, Where
from kube.errors import ApiError, ConfigError, Unreachable
from kube.reflector import Reflector
from kube.resources import LEASES, NAMESPACES, NODES, PODS


@pytest.fixture
def server() -> Iterator[FakeServer]:
    yield from serve(FakeServer())


@pytest.fixture
def client(server: FakeServer) -> Iterator[ApiClient]:
    made = ApiClient(endpoint.from_url(server.url))
    yield made
    made.close()


class TestRequests:
    def test_a_page_with_a_selector(self, server: FakeServer, client: ApiClient) -> None:
        server.answers(text(200, "{}"))
        assert client.list_page(PODS, Where("spec.nodeName=w1"), "t/1") == b"{}"
        assert server.seen[0].path == "/api/v1/pods?limit=500&fieldSelector=spec.nodeName%3Dw1&continue=t%2F1"

    def test_one_object_is_listed_and_watched_in_its_namespace(self, server: FakeServer, client: ApiClient) -> None:
        """Rights to one object of one namespace are rights to nothing else."""
        server.answers(text(200, "{}"), stream())
        where = Where("metadata.name=one", "weft-system")
        client.list_page(LEASES, where)
        with client.watch(LEASES, "7", where=where, timeout=9):
            pass
        path = "/apis/coordination.k8s.io/v1/namespaces/weft-system/leases"
        assert server.seen[0].path == f"{path}?limit=500&fieldSelector=metadata.name%3Done"
        assert server.seen[1].path.startswith(f"{path}?watch=true&")
        assert server.seen[1].path.endswith("resourceVersion=7&timeoutSeconds=9&fieldSelector=metadata.name%3Done")

    def test_a_merge_patch(self, server: FakeServer, client: ApiClient) -> None:
        server.answers(text(200, '{"ok":1}'))
        assert client.patch_merge(NODES, "w1", {"metadata": {"annotations": {"a": None}}}) == b'{"ok":1}'
        (seen,) = server.seen
        assert (seen.method, seen.path) == ("PATCH", "/api/v1/nodes/w1")
        assert seen.headers["Content-Type"] == "application/merge-patch+json"
        assert seen.body == b'{"metadata":{"annotations":{"a":null}}}'

    def test_a_patch_of_a_subresource(self, server: FakeServer, client: ApiClient) -> None:
        server.answers(text(200, "{}"))
        client.patch_merge(PODS, "web", {}, namespace="shop", part="status")
        assert server.seen[0].path == "/api/v1/namespaces/shop/pods/web/status"

    def test_an_event(self, server: FakeServer, client: ApiClient) -> None:
        server.answers(text(201, "{}"))
        client.create_event({"metadata": {"name": "x", "namespace": "shop"}})
        assert (server.seen[0].method, server.seen[0].path) == ("POST", "/api/v1/namespaces/shop/events")

    def test_a_refusal_with_a_status_object(self, server: FakeServer, client: ApiClient) -> None:
        server.answers(text(404, '{"kind":"Status","reason":"NotFound","message":"nodes \\"w1\\" not found"}'))
        with pytest.raises(ApiError, match='404 NotFound: nodes "w1" not found') as caught:
            client.get(NODES, "w1")
        assert (caught.value.status, caught.value.reason) == (404, "NotFound")

    def test_a_refusal_without_one(self, server: FakeServer, client: ApiClient) -> None:
        server.answers(text(503, "<html>proxy</html>", Retry_After="7"))
        with pytest.raises(ApiError, match="503") as caught:
            client.get(NODES, "w1")
        assert caught.value.retry_after == 7.0

    def test_a_redirect_is_not_followed(self, server: FakeServer, client: ApiClient) -> None:
        server.answers(text(302, "", Location="http://127.0.0.1:1/"))
        with pytest.raises(ApiError, match="302"):
            client.get(NODES, "w1")

    def test_nobody_there(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}"
            with pytest.raises(Unreachable, match="/api/v1/nodes/w1"):
                ApiClient(endpoint.from_url(url)).get(NODES, "w1")

    def test_an_answer_cut_short(self, server: FakeServer, client: ApiClient) -> None:
        def short(handler: Handler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(b"{")
            handler.close_connection = True

        server.answers(short)
        with pytest.raises(Unreachable, match="broke off"):
            client.get(NODES, "w1")

    def test_a_snapshot_of_many_pages(self, server: FakeServer, client: ApiClient) -> None:
        server.answers(listing("a", token="t"), listing("b", ""))
        *refused, listed = client.snapshot(NAMESPACES)
        assert isinstance(listed, Listed)
        assert [each.meta.name for each in listed.objects] == ["a", "b"]
        assert [type(each) for each in refused] == [Refused]

    def test_a_snapshot_of_no_list(self, server: FakeServer, client: ApiClient) -> None:
        server.answers(text(200, "hello"))
        with pytest.raises(Unreachable, match="cannot be read"):
            client.snapshot(NAMESPACES)


class TestLines:
    def test_lines_are_cut_out_of_any_chunks(self, server: FakeServer, client: ApiClient) -> None:
        long = b"x" * 200_000
        server.answers(stream(b"on", b"e\ntwo\nth", b"ree\n\n", long, b"\n", b"cut off"))
        with client.watch(NODES, "1") as watch:
            assert list(watch) == [b"one", b"two", b"three", long]

    def test_a_body_that_is_not_chunked_is_not_held_back(self, server: FakeServer, client: ApiClient) -> None:
        """HTTP/1.0 and some proxies delimit by closing: a full-buffer read would wait for the end."""

        def answer(handler: Handler) -> None:
            handler.send_response(200)
            handler.send_header("Connection", "close")
            handler.end_headers()
            handler.wfile.write(b"first\n")
            handler.wfile.flush()
            handler.server.over.wait(WAIT)

        server.answers(answer)
        with client.watch(NODES, "1") as watch:
            assert next(iter(watch)) == b"first"

    def test_each_line_is_handed_on_before_the_next_is_sent(self, server: FakeServer, client: ApiClient) -> None:
        got_it = threading.Semaphore(0)

        def answer(handler: Handler) -> None:
            handler.begin_stream()
            for number in range(5):
                handler.chunk(b"%d\n" % number)
                if not got_it.acquire(timeout=WAIT):
                    return
            handler.chunk(b"")

        server.answers(answer)
        lines = []
        with client.watch(NODES, "1") as watch:
            for each in watch:
                lines.append(each)
                got_it.release()
        assert lines == [b"0", b"1", b"2", b"3", b"4"]

    def test_a_break_is_no_end(self, server: FakeServer, client: ApiClient) -> None:
        server.answers(hang_up(b"one\ntw"))
        with client.watch(NODES, "1") as watch:
            lines = iter(watch)
            assert next(lines) == b"one"
            with pytest.raises(Unreachable, match="broke"):
                next(lines)

    def test_a_line_without_end_is_refused(self, server: FakeServer, client: ApiClient) -> None:
        megabyte = b"x" * 1_000_000
        server.answers(stream(*[megabyte] * 20))
        with client.watch(NODES, "1") as watch, pytest.raises(Unreachable, match="no API server"):
            list(watch)

    def test_close_from_another_thread_ends_it(self, server: FakeServer, client: ApiClient) -> None:
        server.answers(endless(b"one\n"))
        with client.watch(NODES, "1") as watch:
            lines = iter(watch)
            assert next(lines) == b"one"
            threading.Timer(0.05, watch.close).start()
            assert list(lines) == []


class TestCredentials:
    def test_a_kubeconfig(self, server: FakeServer, tmp_path: Path) -> None:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": f"{server.url}/prefix/"}}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
        }
        path = tmp_path / "config"
        path.write_bytes(msgspec.json.encode(config))
        server.answers(text(200, "{}"), listing("a"), stream(b"one\n"))
        client = ApiClient(endpoint.from_kubeconfig(str(path)))
        client.get(NODES, "w1")
        assert server.seen[0].path == "/prefix/api/v1/nodes/w1"
        assert {name.lower(): value for name, value in server.seen[0].headers.items()}[
            "authorization"
        ] == "Bearer secret"
        client.snapshot(NAMESPACES)
        with client.watch(NODES, "1") as watch:
            assert list(watch) == [b"one"]

    @pytest.mark.parametrize("content", [None, "", "{", "[]", '{"clusters": 3}', "current-context: gone\n"])
    def test_a_bad_kubeconfig_is_named(self, tmp_path: Path, content: str | None) -> None:
        path = tmp_path / "config"
        if content is not None:
            path.write_text(content)
        with pytest.raises(ConfigError, match=str(path)):
            endpoint.from_kubeconfig(str(path))

    @pytest.mark.parametrize("url", ["", "banana", "ftp://x", "http://", "/run/x.sock"])
    def test_a_bad_url(self, url: str) -> None:
        with pytest.raises(ConfigError, match="give a URL"):
            endpoint.from_url(url)

    def test_outside_a_cluster(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="KUBERNETES_SERVICE_HOST is not set"):
            endpoint.in_cluster(tmp_path, {})

    def test_a_pod_without_a_service_account(self, tmp_path: Path) -> None:
        place = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
        with pytest.raises(ConfigError, match="automountServiceAccountToken"):
            endpoint.in_cluster(tmp_path, place)


class TestInCluster:
    @pytest.fixture
    def account(self, tmp_path: Path) -> Path:
        """A service account's directory, and a key for a server of its authority."""
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
                *("-days", "2", "-subj", "/CN=kube", "-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "ca.crt")),
            ],
            check=True,
            capture_output=True,
            timeout=WAIT,
        )
        (tmp_path / "token").write_text("first\n")
        return tmp_path

    @pytest.fixture
    def secure(self, account: Path) -> Iterator[FakeServer]:
        made = FakeServer()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(account / "ca.crt", account / "key")
        made.socket = context.wrap_socket(made.socket, server_side=True)
        yield from serve(made)

    def connect(self, account: Path, server: FakeServer) -> ApiClient:
        port = str(server.server_address[1])
        place = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}
        return ApiClient(endpoint.in_cluster(account, place))

    def test_the_token_is_read_again_for_each_request(self, account: Path, secure: FakeServer) -> None:
        client = self.connect(account, secure)
        secure.answers(text(200, "{}"), text(200, "{}"))
        client.get(NODES, "w1")
        (account / "token").write_text("second\n")
        client.get(NODES, "w1")
        assert [each.headers["Authorization"] for each in secure.seen] == ["Bearer first", "Bearer second"]

    def test_a_server_of_another_authority_is_not_trusted(
        self, account: Path, secure: FakeServer, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        other = tmp_path_factory.mktemp("other")
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
                *("-subj", "/CN=other", "-keyout", str(other / "key"), "-out", str(other / "ca.crt")),
            ],
            check=True,
            capture_output=True,
            timeout=WAIT,
        )
        (other / "token").write_text("secret")
        with pytest.raises(Unreachable, match="certificate"):
            self.connect(other, secure).get(NODES, "w1")
        assert secure.seen == []

    def test_stop_ends_a_silent_watch_over_tls(self, account: Path, secure: FakeServer) -> None:
        sink = Sink()
        secure.answers(listing("a"), endless(change("ADDED", "b", "2")))
        made = Reflector(self.connect(account, secure), NAMESPACES, sink.changes.put)
        made.start()
        sink.until(Applied)
        made.stop()
        assert not made.alive
        assert sink.changes.empty()
