"""Secrets are planted in every source of a support bundle, in the forms that they have there; none comes out."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bundle_fixture import Bundle, bundle
from lab_fixture import box, running_lab, vsctl

from lab import names
from lab.lab import Lab
from lab.runtime import RuntimeFailure

NAME = f"t-wsecret-{os.getpid()}"
Obj = dict[str, Any]


class Planted:
    """The secrets by where they are; each is a word of its own."""

    def __init__(self) -> None:
        self.by_place: dict[str, str] = {}

    def __call__(self, place: str) -> str:
        return self.by_place.setdefault(place, f"Sx{secrets.token_hex(12)}")

    def pem(self, place: str) -> str:
        """A private key whose lines have the secret in them."""
        return f"-----BEGIN PRIVATE KEY-----\n{self(place)}\n-----END PRIVATE KEY-----\n"


@pytest.fixture(scope="module")
def planted() -> Planted:
    return Planted()


@pytest.fixture(scope="module")
def found(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    """The bundle of a lab that is full of secrets."""
    directory = tmp_path_factory.mktemp("secrets")
    # Every process of the lab has it in its environment, and so has weftctl, which runs in this one.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEFT_TEST_PASSWORD", planted("environment"))
        with running_lab(NAME) as lab:
            lab.apply(objects(planted))
            plant_files(lab, planted)
            plant_database(lab, planted, directory)
            plant_rules(lab, planted)
            plant_failure(lab, planted)
            yield bundle(directory / "b.tar.gz", "--lab", NAME)


def objects(planted: Planted) -> list[Obj]:
    """Objects of every kind that is read. (The lab's API has no Secrets: see the test in a cluster.)"""
    applied = json.dumps({"spec": {"containers": [{"env": [{"name": "A", "value": planted("last applied")}]}]}})
    notes = {"kubectl.kubernetes.io/last-applied-configuration": applied, "example.com/note": planted("annotation")}
    pod_container = {
        "name": "c", "image": "registry.k8s.io/pause:3.9", "command": ["sh", "-c", planted("command")],
        "args": [f"--token={planted('argument')}"], "env": [{"name": "PLAIN", "value": planted("env")}],
    }  # fmt: skip
    return [
        _object("v1", "Namespace", "full", labels={"db-password": planted("namespace label")}, annotations=notes),
        _object(
            "v1", "Pod", "p", namespace="full", labels={"api-token": planted("pod label")}, annotations=notes,
            body={"spec": {"nodeName": "node1", "containers": [pod_container]}},
        ),
        _object(
            "networking.k8s.io/v1", "NetworkPolicy", "n", namespace="full", annotations=notes,
            body={"spec": {"podSelector": {"matchLabels": {"secret": planted("selector")}}}},
        ),
        _object(
            "v1", "Event", "e", namespace="full",
            body={
                "involvedObject": {"kind": "Node", "name": "node1"}, "reason": "Odd", "type": "Warning",
                "message": f"cannot log in with password={planted('event')}", "source": {"component": "weft-agent"},
            },
        ),
    ]  # fmt: skip


def _object(version: str, kind: str, name: str, body: Obj | None = None, **metadata: Any) -> Obj:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **metadata}, **(body or {})}


def plant_files(lab: Lab, planted: Planted) -> None:
    """Settings, logs, CNI configurations, and files that nobody is to look at."""
    paths = lab.paths.node("node1")
    _append(paths.agent_config, f"# registry-password: {planted('agent settings')}\n")
    _append(lab.paths.controller_config, f"# https://me:{planted('controller settings')}@example.com\n")
    _append(paths.log / "agent.log", json.dumps({"event": "x", "headers": {"token": planted("agent log")}}) + "\n")
    _append(paths.log / "agent.log", json.dumps({"event": "y", "key": planted.pem("key in a log")}) + "\n")
    _append(paths.log / "vswitchd.log", f"x|WARN|Authorization: Bearer {planted('switch log')}\n")
    _append(paths.log / "ovsdb.log", planted.pem("key in another log"))
    _append(lab.paths.log / "controller.log", f'{{"error":"wrong token \\"{planted("controller log")}\\""}}\n')
    listed = json.loads((paths.cni_conf / "10-weft.conflist").read_text())
    listed["plugins"].append({"type": "other", "apiToken": planted("conflist")})
    (paths.cni_conf / "20-weft-too.conflist").write_text(json.dumps(listed))
    (paths.cni_conf / "99-other.kubeconfig").write_text(f"users: [{{token: {planted('kubeconfig of a plugin')}}}]")
    (paths.root / "token").write_text(planted("file beside"))


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def plant_database(lab: Lab, planted: Planted, directory: Path) -> None:
    key = directory / "tls.key"
    key.write_text(planted.pem("key file"))
    vsctl(lab, "node1", "set", "Interface", "br-int", f"options:psk={planted('psk')}")
    vsctl(lab, "node1", "set", "Open_vSwitch", ".", f"external_ids:api-token={planted('external id')}")
    vsctl(lab, "node1", "set", "Bridge", "br-int", f'other_config:login="password={planted("other config")}"')
    vsctl(lab, "node1", "set-ssl", str(key), str(key), str(key))


def plant_rules(lab: Lab, planted: Planted) -> None:
    space = names.node_namespace(lab.config.name, "node1")
    comment = f'comment "secret: {planted("nft")}"'
    chain = "type filter hook input priority 0; policy accept;"
    rules = f"table inet theirs {{\nchain c {{\n{chain}\ncounter {comment}\n}}\n}}\n"
    subprocess.run(["ip", "netns", "exec", space, "nft", "-f", "-"], input=rules, text=True, check=True, timeout=30)


def plant_failure(lab: Lab, planted: Planted) -> None:
    """A CNI request that fails with an error that repeats what it was given."""
    with box(lab, "node1", "wrong") as made, suppress(RuntimeFailure):
        made.add(path=f"/run/netns/password={planted('failure')}")


def test_no_secret_is_in_the_archive(found: Bundle, planted: Planted) -> None:
    assert len(planted.by_place) >= 25
    leaked = {place: found.having(secret) for place, secret in planted.by_place.items() if found.having(secret)}
    assert leaked == {}


def test_nor_in_what_weftctl_says(found: Bundle, planted: Planted) -> None:
    assert [place for place, secret in planted.by_place.items() if secret in found.err] == []


@pytest.mark.parametrize(
    "name",
    [
        "nodes/node1/settings/agent.yaml", "nodes/node1/settings/20-weft-too.conflist", "nodes/node1/logs/agent.log",
        "nodes/node1/logs/vswitchd.log", "nodes/node1/logs/ovsdb.log", "nodes/node1/ovsdb.json",
        "nodes/node1/nft.txt",
        "nodes/node1/agent/cni-failures.json", "cluster/namespaces.json", "cluster/pods.json",
        "cluster/networkpolicies.json", "cluster/events.json", "controllers/weft-controller/logs/controller.log",
        "controllers/weft-controller/settings/controller.yaml",
    ],
)  # fmt: skip
def test_the_sources_are_there_and_had_something_to_hide(found: Bundle, name: str) -> None:
    """Else the test above would find nothing because nothing was looked at."""
    assert "REDACTED" in found.text(name)


def test_what_is_not_wefts_is_not_there_at_all(found: Bundle) -> None:
    assert found.having("99-other") == []
    assert [name for name in found.files if name.endswith(("token", ".key", "kubeconfig"))] == []
    assert {name for name in found.under("cluster") if "secret" in name or "configmap" in name} == set()


def test_json_files_are_still_json(found: Bundle) -> None:
    for name in found.files:
        if name.endswith(".json"):
            found.json(name)
