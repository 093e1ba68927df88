"""Access to a cluster that a lab joins: what its kubeconfig says, and the copies of it that the lab's programs use.

There are two copies, in the lab's directory and for root only; the one for agents names an address that exists inside
the nodes. Certificates are files beside them. So the lab can leave the cluster also when the file that it was given
is gone, and programs that are killed leave no temporary files. Source: Kubernetes client-go, "Config" (v1).
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

Obj = dict[str, Any]

_NAME = "cluster"
_FILES = ("certificate-authority", "client-certificate", "client-key")
_PORTS = {"https": 443, "http": 80}
_HINT = "give a kubeconfig with a certificate or a token"
# What a kubeconfig may say that cannot work for an agent, and why not.
_IMPOSSIBLE = {
    "exec": f"a program that fetches credentials has no network inside the nodes: {_HINT}",
    "auth-provider": f"a plugin that fetches credentials has no network inside the nodes: {_HINT}",
    "proxy-url": "a proxy cannot be reached from inside the nodes",
}


class AccessError(ValueError):
    """A kubeconfig that a lab cannot use; the message names the file, the key, and what would work."""


@dataclass(frozen=True, slots=True)
class Access:
    """The current context of a kubeconfig: its cluster's and its user's entries. Paths in them are absolute."""

    cluster: Mapping[str, Any]
    user: Mapping[str, Any]

    @property
    def server(self) -> str:
        return str(self.cluster["server"]).rstrip("/")

    @property
    def target(self) -> tuple[str, int]:
        """Host and port of the server."""
        url = urlsplit(self.server)
        return url.hostname or "", url.port or _PORTS[url.scheme]

    def through(self, address: str) -> Access:
        """The same server behind another `host:port`; TLS still asks for the server's own name."""
        url = urlsplit(self.server)
        changed = {"server": f"{url.scheme}://{address}{url.path}"}
        if url.scheme == "https":
            changed["tls-server-name"] = self.cluster.get("tls-server-name") or url.hostname or ""
        return Access({**self.cluster, **changed}, self.user)

    def document(self) -> Obj:
        """As a kubeconfig."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": _NAME, "cluster": dict(self.cluster)}],
            "users": [{"name": _NAME, "user": dict(self.user)}],
            "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME, "namespace": "default"}}],
            "current-context": _NAME,
        }


def read(path: Path) -> Access:
    """The access that a kubeconfig gives. Raises AccessError."""
    try:
        document = yaml.safe_load(path.read_text())
        current = document["current-context"]
        context = _named(document["contexts"], current)["context"]
        cluster = _named(document["clusters"], context["cluster"])["cluster"]
        user = _named(document.get("users") or (), context["user"])["user"] or {} if context.get("user") else {}
    except OSError as e:
        raise AccessError(f"kubeconfig {path}: {e.strerror}") from e
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as e:
        told = " ".join(str(e).split())
        raise AccessError(f"kubeconfig {path}: not a kubeconfig with a current context ({told})") from e
    for key, why in _IMPOSSIBLE.items():
        if cluster.get(key) or user.get(key):
            raise AccessError(f"kubeconfig {path}: {key}: {why}")
    access = Access(_absolute(cluster, path), _absolute(user, path))
    _check_server(access, path)
    return access


def store(access: Access, directory: Path) -> Access:
    """The same access by files in `directory`, readable for their owner only."""
    directory.mkdir(parents=True, exist_ok=True)
    try:
        return Access(_stored(access.cluster, directory), _stored(access.user, directory))
    except (OSError, binascii.Error) as e:
        raise AccessError(f"credentials cannot be copied: {e}") from e


def write(access: Access, path: Path) -> None:
    """Write it as a kubeconfig that only its owner reads."""
    _write_private(path, yaml.safe_dump(access.document(), sort_keys=False).encode())


def _write_private(path: Path, content: bytes) -> None:
    """A file that only its owner reads, also while it is written."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)


def _named(entries: Sequence[Obj], name: str) -> Obj:
    """The entry of a list of named ones; KeyError with the name when there is none."""
    found = next((entry for entry in entries if entry["name"] == name), None)
    if found is None:
        raise KeyError(name)
    return found


def _check_server(access: Access, path: Path) -> None:
    try:
        host, _ = access.target
    except (KeyError, ValueError):
        host = ""
    if not host:
        found = access.cluster.get("server")
        raise AccessError(f"kubeconfig {path}: server {found!r}: expected a URL such as https://10.0.0.1:6443")


def _absolute(entry: Mapping[str, Any], kubeconfig: Path) -> Obj:
    paths = (key for key in (*_FILES, "tokenFile") if entry.get(key))
    return {**entry, **{key: str(kubeconfig.resolve().parent / entry[key]) for key in paths}}


def _stored(entry: Mapping[str, Any], directory: Path) -> Obj:
    return {key: value for key, value in entry.items() if not _is_file(key)} | dict(_copied(entry, directory))


def _is_file(key: str) -> bool:
    return key.removesuffix("-data") in _FILES


def _copied(entry: Mapping[str, Any], directory: Path) -> Iterator[tuple[str, str]]:
    """The entry's certificates and key as files. Data in the kubeconfig itself counts more than a path."""
    for key in _FILES:
        data, source = entry.get(f"{key}-data"), entry.get(key)
        if data or source:
            path = directory / key
            _write_private(path, base64.b64decode(data) if data else Path(str(source)).read_bytes())
            yield key, str(path)
