"""What a kubeconfig means for a lab: which can be used, and what the copies say that its programs get."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import access
from lab.access import Access, AccessError

SERVER = "https://k8s.example.org:6443"


def kubeconfig(path: Path, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> Path:
    document = {
        "current-context": "here",
        "contexts": [
            {"name": "there", "context": {"cluster": "other", "user": "nobody"}},
            {"name": "here", "context": {"cluster": "c", "user": "u"}},
        ],
        "clusters": [
            {"name": "other", "cluster": {}},
            {"name": "c", "cluster": {"server": SERVER, **(cluster or {})}},
        ],
        "users": [{"name": "u", "user": user or {}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_current_context_is_what_counts(tmp_path: Path) -> None:
    found = access.read(kubeconfig(tmp_path / "config", user={"token": "secret"}))
    assert (found.server, found.user) == (SERVER, {"token": "secret"})


@pytest.mark.parametrize(
    ("server", "target"),
    [
        (SERVER, ("k8s.example.org", 6443)),
        ("https://10.0.0.1", ("10.0.0.1", 443)),
        ("http://[fd00::1]/", ("fd00::1", 80)),
        ("http://127.0.0.1:8001/prefix", ("127.0.0.1", 8001)),
    ],
)
def test_the_target_is_a_host_and_a_port(server: str, target: tuple[str, int]) -> None:
    assert Access({"server": server}, {}).target == target


@pytest.mark.parametrize(
    ("cluster", "through"),
    [
        ({"server": SERVER}, {"server": "https://198.18.0.254:6443", "tls-server-name": "k8s.example.org"}),
        ({"server": "https://10.0.0.1"}, {"server": "https://198.18.0.254:6443", "tls-server-name": "10.0.0.1"}),
        (
            {"server": SERVER, "tls-server-name": "kubernetes"},
            {"server": "https://198.18.0.254:6443", "tls-server-name": "kubernetes"},
        ),
        ({"server": "http://127.0.0.1:8001/prefix/"}, {"server": "http://198.18.0.254:6443/prefix"}),
    ],
)
def test_behind_another_address_tls_asks_for_the_same_name(cluster: dict[str, str], through: dict[str, str]) -> None:
    assert Access(cluster, {}).through("198.18.0.254:6443").cluster == through


@pytest.mark.parametrize(
    ("cluster", "user", "complaint"),
    [
        ({}, {"exec": {"command": "aws"}}, "exec: .* certificate or a token"),
        ({}, {"auth-provider": {"name": "oidc"}}, "auth-provider: .* certificate or a token"),
        ({"proxy-url": "http://proxy"}, {}, "proxy-url: .* inside the nodes"),
        ({"server": "10.0.0.1:6443"}, {}, "server '10.0.0.1:6443': expected a URL"),
        ({"server": "https://host:port"}, {}, "expected a URL"),
        ({"server": None}, {}, "server None: expected a URL"),
    ],
)
def test_what_cannot_work_in_a_node_is_refused(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], complaint: str
) -> None:
    path = kubeconfig(tmp_path / "config", cluster, user)
    with pytest.raises(AccessError, match=complaint) as refused:
        access.read(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "just words", "a: [", "current-context: x\ncontexts: []\n", "current-context: x\ncontexts: [1]\n"]
)
def test_what_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(AccessError, match="not a kubeconfig with a current context"):
        access.read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="nowhere: No such file"):
        access.read(tmp_path / "nowhere")


def test_the_copy_needs_no_other_file_and_is_private(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("authority")
    data = base64.b64encode(b"a key").decode()
    path = kubeconfig(
        tmp_path / "config",
        {"certificate-authority": "ca.pem"},
        {"client-key-data": data, "client-key": "unused.pem"},
    )
    stored = access.store(access.read(path), tmp_path / "lab")
    copy = tmp_path / "lab" / "kubeconfig"
    access.write(stored, copy)
    for name in ("config", "ca.pem"):
        (tmp_path / name).unlink()
    again = access.read(copy)
    assert again == stored
    assert Path(again.cluster["certificate-authority"]).read_text() == "authority"
    assert Path(again.user["client-key"]).read_text() == "a key"
    assert "client-key-data" not in again.user
    assert {file.stat().st_mode & 0o777 for file in copy.parent.iterdir()} == {0o600}


def test_credentials_that_cannot_be_copied_are_named(tmp_path: Path) -> None:
    found = access.read(kubeconfig(tmp_path / "config", user={"client-key": "gone.pem"}))
    with pytest.raises(AccessError, match=r"gone\.pem"):
        access.store(found, tmp_path / "lab")
