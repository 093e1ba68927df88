"""The lab's CNI runtime, with real executables: what they are given, in which order, and what becomes of it."""

import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cni_relay_fixture import Agent, build, receive

from cni.conflist import CONFLIST_NAME, install, render_conflist
from cni.frame import Request, encode_answer
from lab.runtime import (
    NO_CODE,
    Attachment,
    Conflist,
    Runtime,
    RuntimeFailure,
    load_conflist,
    parse_conflist,
    pod_attachment,
)

# A plugin that notes every call and does what the file beside it says for the command.
PLUGIN = """#!{python} -IS
import json, os, signal, sys, time
here = os.path.dirname(sys.argv[0])
name = os.path.basename(sys.argv[0])
stdin = sys.stdin.buffer.read().decode()
env = {{k: v for k, v in os.environ.items() if k.startswith(("CNI_", "WEFT_"))}}
with open(here + "/calls", "a") as calls:
    calls.write(json.dumps({{"plugin": name, "env": env, "conf": json.loads(stdin)}}) + "\\n")
with open(here + "/" + name + ".says") as says:
    does = json.load(says).get(os.environ["CNI_COMMAND"], {{}})
sys.stderr.write(does.get("stderr", ""))
sys.stdout.write(does.get("stdout", ""))
sys.stdout.flush()
if does.get("hang"):
    signal.pause()
sys.exit(does.get("status", 0))
"""

RESULT = {"cniVersion": "1.1.0", "ips": [{"address": "10.10.0.5/32"}], "dns": {}}
LAST_RESULT = RESULT | {"routes": [{"dst": "0.0.0.0/0"}]}
POD = Attachment("abc", "/run/netns/x", args={"A": "1", "B": "x=y"}, capability_args={"mac": "m", "ips": ["i"]})
FIRST = {"type": "first", "name": "no", "cniVersion": "0.1.0", "capabilities": {"mac": True, "ips": False}}
LAST = {"type": "last", "key": "value"}
ADDS = {"first": {"ADD": {"stdout": json.dumps(RESULT)}}, "last": {"ADD": {"stdout": json.dumps(LAST_RESULT)}}}


@dataclass
class Bench:
    """A directory of plugins and the runtime that calls them."""

    path: Path

    def plugin(self, name: str, says: Mapping[str, object]) -> None:
        executable = self.path / name
        executable.write_text(PLUGIN.format(python=sys.executable))
        executable.chmod(0o755)
        (self.path / f"{name}.says").write_text(json.dumps(says))

    def plugins(self, says: Mapping[str, Mapping[str, object]]) -> None:
        for name in ("first", "last"):
            self.plugin(name, says.get(name, {}))

    def runtime(self, version: str = "1.1.0", **conflist: Any) -> Runtime:
        return Runtime(
            Conflist("net", version, (FIRST, LAST), **conflist),
            bin_dirs=(self.path / "empty", self.path),
            cache_dir=self.path / "cache",
            env={"WEFT_CNI_SOCKET": "/s"},
            deadline=30.0,
        )

    def calls(self) -> list[dict[str, Any]]:
        log = self.path / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def order(self) -> list[tuple[str, str]]:
        return [(call["env"]["CNI_COMMAND"], call["plugin"]) for call in self.calls()]

    def cached(self) -> list[str]:
        return sorted(path.name for path in self.path.glob("cache/results/*"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def failure(call: Any) -> RuntimeFailure:
    with pytest.raises(RuntimeFailure) as caught:
        call()
    return caught.value


# ADD and DEL


def test_c48_add_runs_plugins_in_order_with_their_predecessors_result(bench: Bench) -> None:
    bench.plugins(ADDS)
    assert bench.runtime().add(POD) == LAST_RESULT
    assert bench.order() == [("ADD", "first"), ("ADD", "last")]
    first, last = (call["conf"] for call in bench.calls())
    assert first == FIRST | {"name": "net", "cniVersion": "1.1.0", "runtimeConfig": {"mac": "m"}}
    assert last == LAST | {"name": "net", "cniVersion": "1.1.0", "prevResult": RESULT}


def test_plugins_get_the_environment_of_libcni_and_the_labs_own(bench: Bench) -> None:
    bench.plugins(ADDS)
    bench.runtime().add(POD)
    assert bench.calls()[0]["env"] == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "abc",
        "CNI_NETNS": "/run/netns/x",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "A=1;B=x=y",
        "CNI_PATH": f"{bench.path}/empty:{bench.path}",
        "WEFT_CNI_SOCKET": "/s",
    }


def test_r4_the_result_is_cached_as_libcni_does(bench: Bench) -> None:
    bench.plugins(ADDS)
    runtime = bench.runtime()
    runtime.add(POD)
    assert bench.cached() == ["net-abc-eth0"]
    entry = json.loads((bench.path / "cache/results/net-abc-eth0").read_text())
    assert (entry["kind"], entry["containerId"], entry["ifName"]) == ("cniCacheV1", "abc", "eth0")
    assert (entry["networkName"], entry["result"]) == ("net", LAST_RESULT)
    assert runtime.cached(POD) == LAST_RESULT


def test_c48_del_runs_in_reverse_with_the_final_result_and_drops_the_cache(bench: Bench) -> None:
    bench.plugins(ADDS)
    bench.runtime().add(POD)
    bench.runtime().delete(POD)
    assert bench.order()[2:] == [("DEL", "last"), ("DEL", "first")]
    assert [call["conf"]["prevResult"] for call in bench.calls()[2:]] == [LAST_RESULT, LAST_RESULT]
    assert bench.cached() == []


def test_c26_del_of_nothing_and_with_a_damaged_cache_goes_on_without_result(bench: Bench) -> None:
    bench.plugins({})
    bench.runtime().delete(POD)
    (bench.path / "cache/results").mkdir(parents=True)
    (bench.path / "cache/results/net-abc-eth0").write_text("{")
    bench.runtime().delete(POD)
    assert ["prevResult" in call["conf"] for call in bench.calls()] == [False] * 4
    assert bench.cached() == []


def test_before_0_4_0_del_gets_no_result(bench: Bench) -> None:
    result = json.dumps({"cniVersion": "0.3.1", "ips": [{"version": "4", "address": "10.10.0.5/32"}]})
    bench.plugins({key: {"ADD": {"stdout": result}} for key in ("first", "last")})
    bench.runtime("0.3.1").add(POD)
    bench.runtime("0.3.1").delete(POD)
    assert ["prevResult" in call["conf"] for call in bench.calls()] == [False, True, False, False]


def test_a_failed_add_stops_there_and_caches_nothing(bench: Bench) -> None:
    said = {"cniVersion": "1.1.0", "code": 11, "msg": "later", "details": "why"}
    bench.plugins({"first": {"ADD": {"stdout": json.dumps(said), "status": 1}}})
    error = failure(lambda: bench.runtime().add(POD))
    assert (error.code, error.msg, error.details, str(error)) == (11, "later", "why", "later; why")
    assert bench.order() == [("ADD", "first")]
    assert bench.cached() == []


def test_a_failed_del_keeps_the_cache_for_the_next(bench: Bench) -> None:
    bench.plugins(ADDS | {"last": ADDS["last"] | {"DEL": {"stdout": '{"code":100,"msg":"no"}', "status": 1}}})
    bench.runtime().add(POD)
    assert failure(lambda: bench.runtime().delete(POD)).code == 100
    assert bench.cached() == ["net-abc-eth0"]


def test_a_result_without_version_has_that_of_the_configuration(bench: Bench) -> None:
    bench.plugins({key: {"ADD": {"stdout": '{"ips":[]}'}} for key in ("first", "last")})
    assert bench.runtime("0.4.0").add(POD) == {"cniVersion": "0.4.0", "ips": []}


@pytest.mark.parametrize(
    "stdout",
    ["", "[]", "{", '{"cniVersion":"9.9.9"}', '{"ips":[{"address":"10.0.0.1"}]}', '{"cniVersion":5}'],
)
def test_a_malformed_result_fails_the_add(bench: Bench, stdout: str) -> None:
    bench.plugins({"first": {"ADD": {"stdout": stdout}}})
    assert "first: " in failure(lambda: bench.runtime().add(POD)).msg
    assert bench.cached() == []


# Plugins that fail


@pytest.mark.parametrize(
    "does",
    [
        {"status": 3, "stderr": "trouble"},
        {"status": 1, "stdout": "trouble"},
        {"status": 1, "stdout": '{"msg":"trouble"}'},
        {"status": 1, "stdout": '["trouble"]'},
    ],
)
def test_c17_a_failure_without_an_error_on_stdout_repeats_what_was_said(bench: Bench, does: object) -> None:
    bench.plugins({"first": {"ADD": does}})
    error = failure(lambda: bench.runtime().add(POD))
    assert error.code == NO_CODE
    assert "trouble" in error.msg


def test_c24_a_plugin_past_its_deadline_is_killed(bench: Bench) -> None:
    bench.plugins({"first": {"ADD": {"hang": True}}})
    runtime = Runtime(bench.runtime().conflist, (bench.path,), bench.path / "cache", deadline=1.0)
    error = failure(lambda: runtime.add(POD))
    assert "killed, no answer within 1 s" in error.msg


def test_a_plugin_that_is_missing_or_no_executable_is_named(bench: Bench) -> None:
    assert "'first' is in none of" in failure(lambda: bench.runtime().add(POD)).msg
    (bench.path / "first").write_text("no program")
    assert "cannot execute" in failure(lambda: bench.runtime().add(POD)).msg
    (bench.path / "first").chmod(0o755)
    assert f"{bench.path}/first: Exec format error" in failure(lambda: bench.runtime().add(POD)).msg


def test_a_plugin_type_is_a_name_not_a_path(bench: Bench) -> None:
    bench.plugins({})
    runtime = Runtime(Conflist("net", "1.1.0", ({"type": "../x/first"},)), (bench.path,), bench.path)
    assert "is in none of" in failure(lambda: runtime.add(POD)).msg


# CHECK, GC, STATUS, VERSION


def test_check_gives_every_plugin_the_cached_result(bench: Bench) -> None:
    bench.plugins(ADDS)
    bench.runtime().add(POD)
    bench.runtime().check(POD)
    assert bench.order()[2:] == [("CHECK", "first"), ("CHECK", "last")]
    assert [call["conf"]["prevResult"] for call in bench.calls()[2:]] == [LAST_RESULT, LAST_RESULT]


def test_check_can_be_switched_off_and_needs_0_4_0(bench: Bench) -> None:
    bench.runtime(disable_check=True).check(POD)
    assert failure(lambda: bench.runtime("0.3.1").check(POD)).code == 1


def test_gc_deletes_what_is_not_valid_and_then_asks_the_plugins(bench: Bench) -> None:
    """C33, C34: both spellings of the key."""
    bench.plugins(ADDS)
    other = Attachment("stale", "/run/netns/y")
    runtime = bench.runtime()
    for attachment in (POD, other):
        runtime.add(attachment)
    runtime.gc([("abc", "eth0")])
    assert bench.order()[4:] == [("DEL", "last"), ("DEL", "first"), ("GC", "first"), ("GC", "last")]
    deleted, collected = bench.calls()[4], bench.calls()[6]
    assert (deleted["env"]["CNI_CONTAINERID"], deleted["env"]["CNI_NETNS"]) == ("stale", "/run/netns/y")
    valid = [{"containerID": "abc", "ifname": "eth0"}]
    assert collected["conf"]["cni.dev/valid-attachments"] == collected["conf"]["cni.dev/attachments"] == valid
    assert [collected["env"][f"CNI_{key}"] for key in ("CONTAINERID", "NETNS", "IFNAME")] == ["", "", ""]
    assert bench.cached() == ["net-abc-eth0"]


def test_c36_gc_goes_on_after_errors_and_tells_them_all(bench: Bench) -> None:
    fails = {"stdout": '{"code":100,"msg":"no"}', "status": 1}
    bench.plugins({name: {**ADDS[name], "DEL": fails, "GC": fails} for name in ADDS})
    bench.runtime().add(POD)
    error = failure(lambda: bench.runtime().gc([]))
    assert (error.code, error.msg) == (100, "no; no; no")
    assert bench.order()[2:] == [("DEL", "last"), ("GC", "first"), ("GC", "last")]


def test_gc_leaves_other_networks_alone_and_can_be_switched_off(bench: Bench) -> None:
    bench.plugins(ADDS)
    bench.runtime().add(POD)
    other = Runtime(Conflist("other", "1.0.0", (FIRST, LAST)), (bench.path,), bench.path / "cache")
    other.gc([])
    bench.runtime(disable_gc=True).gc([])
    assert bench.cached() == ["net-abc-eth0"]


def test_status_asks_every_plugin_from_1_1_0_on(bench: Bench) -> None:
    bench.plugins({"last": {"STATUS": {"stdout": '{"code":50,"msg":"down"}', "status": 1}}})
    assert failure(bench.runtime().status).code == 50
    assert bench.order() == [("STATUS", "first"), ("STATUS", "last")]
    bench.runtime("1.0.0").status()
    assert len(bench.calls()) == 2


# Configuration


@pytest.mark.parametrize(
    ("stated", "listed", "chosen"),
    [
        ("1.0.0", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"], "1.1.0"),
        ("1.0.0", ["1.1.0", "0.4.0"], "1.1.0"),
        ("1.0.0", ["1.2.0", "2.0.0"], "1.0.0"),
        ("0.4.0", ["0.3.1"], "0.4.0"),
        ("", ["0.3.1", "0.4.0"], "0.4.0"),
        ("0.4.0", None, "0.4.0"),
        (None, None, "0.1.0"),
    ],
)
def test_r9_the_newest_listed_version_that_is_known_is_chosen(stated: str, listed: object, chosen: str) -> None:
    obj = {"cniVersion": stated, "cniVersions": listed, "name": "n", "plugins": [{"type": "t"}]}
    present = {key: value for key, value in obj.items() if value is not None}
    assert parse_conflist(json.dumps(present).encode()).cni_version == chosen


def test_our_own_list_is_chosen_at_1_1_0() -> None:
    found = parse_conflist(render_conflist())
    assert (found.name, found.cni_version, [plugin["type"] for plugin in found.plugins]) == (
        "weft",
        "1.1.0",
        ["weft"],
    )


def test_r2_the_first_file_in_lexical_order_is_loaded(tmp_path: Path) -> None:
    for name in ("20-b.conflist", "10-a.conf", ".05-draft.weft-new", "README"):
        (tmp_path / name).write_text(json.dumps({"name": name, "type": "t"}))
    (tmp_path / "01-dir.conf").mkdir()
    assert load_conflist(tmp_path).name == "10-a.conf"


def test_flags_are_true_in_either_form() -> None:
    conf = {"name": "n", "plugins": [{"type": "t"}], "disableCheck": True, "disableGC": "true"}
    conflist = parse_conflist(json.dumps(conf).encode())
    assert (conflist.disable_check, conflist.disable_gc) == (True, True)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b'{"name":"n"}',
        b'{"plugins":[{"type":"t"}]}',
        b'{"name":"n","plugins":[]}',
        b'{"name":"n","plugins":[{}]}',
        b'{"name":"n","plugins":5}',
        b'{"name":"n","type":"t","cniVersions":["x"]}',
        b'{"name":"n","type":"t","cniVersions":[1]}',
        b'{"name":"n","type":"t","cniVersions":5}',
    ],
)
def test_r2_a_bad_first_file_fails_the_load_and_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "10-bad.conflist").write_bytes(data)
    (tmp_path / "20-good.conflist").write_text('{"name":"n","type":"t"}')
    assert "10-bad.conflist" in failure(lambda: load_conflist(tmp_path)).msg


def test_an_empty_directory_is_named(tmp_path: Path) -> None:
    assert str(tmp_path) in failure(lambda: load_conflist(tmp_path)).msg


# All of it: the real relay, the real list, and an agent's socket


def test_r1_a_pod_goes_through_the_real_relay(tmp_path: Path) -> None:
    plugin = build(tmp_path / "build") / "weft"
    install(plugin, render_conflist(), tmp_path / "bin", tmp_path / "net.d")
    conflist = load_conflist(tmp_path / "net.d")
    env = {"WEFT_CNI_SOCKET": str(tmp_path / "s")}
    runtime = Runtime(conflist, (tmp_path / "bin",), tmp_path / "cache", env=env)
    requests: list[Request] = []

    def serve(connection: socket.socket) -> None:
        request = receive(connection)
        requests.append(request)
        adding = request.env["CNI_COMMAND"] == "ADD"
        connection.sendall(encode_answer(0, json.dumps(RESULT).encode() if adding else b""))

    pod = pod_attachment("abc", "/run/netns/x", ("default", "web-0", "u-1"))
    assert failure(lambda: runtime.add(pod)).code == 11
    assert failure(runtime.status).code == 50
    with Agent(tmp_path / "s", serve):
        assert runtime.add(pod) == RESULT
        for call in (runtime.check, runtime.delete):
            call(pod)
        runtime.gc([])
        runtime.status()
    assert runtime.version()["weft"][-1] == "1.1.0"
    assert [request.env["CNI_COMMAND"] for request in requests] == ["ADD", "CHECK", "DEL", "GC", "STATUS"]
    assert "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0" in requests[0].env["CNI_ARGS"]
    assert json.loads(requests[1].stdin)["prevResult"] == RESULT
    assert sorted(os.listdir(tmp_path / "net.d")) == [CONFLIST_NAME]
