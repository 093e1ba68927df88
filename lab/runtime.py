"""The lab's CNI runtime: calls plugins as libcni 1.3 does, so that what works here works under a kubelet.

Which configuration a plugin gets, what is cached, the order of calls and the environment follow libcni's
`api.go` and `invoke/`; the lab adds only variables of its own (`WEFT_CNI_SOCKET`: several nodes, one host).
"""

import errno
import os
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from cni.errors import CniError
from cni.result import parse_prev_result

Json = dict[str, Any]
LATEST_VERSION = "1.1.0"
NO_CODE = 999  # libcni's code for a failure that the plugin did not put into words
_CONF_SUFFIXES = (".conf", ".conflist", ".json")
_BUSY_TRIES = 50  # × 20 ms: another thread's child may for an instant hold a new executable open


class RuntimeFailure(Exception):  # noqa: N818 - the CNI word is "error result", and it is one outcome of a call
    """A call that failed: the plugin's error result, or what kept it from giving one."""

    def __init__(self, code: int, msg: str, details: str = "") -> None:
        super().__init__(f"{msg}; {details}" if details else msg)
        self.code = code
        self.msg = msg
        self.details = details


@dataclass(frozen=True, slots=True)
class Attachment:
    """One interface of one container. `args` become CNI_ARGS, `capability_args` each plugin's runtimeConfig."""

    container: str
    netns: str
    ifname: str = "eth0"
    args: Mapping[str, str] = field(default_factory=dict)
    capability_args: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conflist:
    """A network configuration list, its version chosen."""

    name: str
    cni_version: str
    plugins: tuple[Json, ...]
    disable_check: bool = False
    disable_gc: bool = False


def pod_attachment(container: str, netns: str, pod: tuple[str, str, str]) -> Attachment:
    """The attachment of a Kubernetes pod (namespace, name, uid), with the arguments containerd gives."""
    namespace, name, uid = pod
    args = {"IgnoreUnknown": "1", "K8S_POD_NAMESPACE": namespace, "K8S_POD_NAME": name}
    args |= {"K8S_POD_INFRA_CONTAINER_ID": container, "K8S_POD_UID": uid}
    return Attachment(container, netns, args=args)


def load_conflist(conf_dir: Path) -> Conflist:
    """The first configuration in `conf_dir`, in lexical order. Errors: RuntimeFailure."""
    files = sorted(path for path in conf_dir.glob("*") if path.suffix in _CONF_SUFFIXES and path.is_file())
    if not files:
        raise RuntimeFailure(NO_CODE, f"no network configuration in {conf_dir}")
    try:
        return parse_conflist(files[0].read_bytes())
    except RuntimeFailure as e:
        raise RuntimeFailure(e.code, f"{files[0]}: {e.msg}") from e


class _Wire(msgspec.Struct, rename="camel"):
    """A configuration list as libcni's `NetworkConfFromBytes` reads it. `disable*` may be text."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    plugins: Annotated[list[Json], msgspec.Meta(min_length=1)]
    cni_version: str = ""
    cni_versions: list[str] | None = None
    disable_check: bool | str = False
    disable_gc: bool | str = msgspec.field(default=False, name="disableGC")


def parse_conflist(data: bytes) -> Conflist:
    """A configuration list, or a single plugin's configuration. Errors: RuntimeFailure."""
    obj = _object(data, "network configuration")
    try:
        wire = msgspec.convert({"plugins": [obj]} | obj, _Wire)
    except msgspec.ValidationError as e:
        raise RuntimeFailure(NO_CODE, f"network configuration: {e}") from e
    for plugin in wire.plugins:
        if not isinstance(plugin.get("type"), str):
            raise RuntimeFailure(NO_CODE, f"network configuration: plugin {plugin!r} has no type")
    off = [str(flag).lower() == "true" for flag in (wire.disable_check, wire.disable_gc)]
    return Conflist(wire.name, _choose_version(wire), tuple(wire.plugins), *off)


def _choose_version(wire: _Wire) -> str:
    """The newest listed version that this runtime knows; `cniVersion` counts as listed."""
    if wire.cni_versions is None:
        return wire.cni_version or "0.1.0"
    versions = [v for v in (*wire.cni_versions, wire.cni_version) if v and _order(v) <= _order(LATEST_VERSION)]
    return max(versions, key=_order, default=wire.cni_version)


def _order(version: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in version.split("."))
    except ValueError as e:
        raise RuntimeFailure(NO_CODE, f"cniVersions: {version!r} is not a version") from e


def _object(data: bytes, what: str) -> Json:
    try:
        return msgspec.json.decode(data, type=dict)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise RuntimeFailure(NO_CODE, f"{what} {data[:200]!r} is not a JSON object: {e}") from e


@dataclass(frozen=True, slots=True)
class Runtime:
    """Calls the plugins of one network. Holds no state but the cache directory, so threads may share it.

    `deadline` is in seconds, for each plugin; then it is killed. `env` is added to the plugins' environment.
    """

    conflist: Conflist
    bin_dirs: tuple[Path, ...]
    cache_dir: Path
    env: Mapping[str, str] = field(default_factory=dict)
    deadline: float = 120.0

    def add(self, attachment: Attachment) -> Json:
        """Plugins in order, each with its predecessor's result; the last result is cached and returned."""
        result: Json = {}
        for plugin in self.conflist.plugins:
            conf = self._conf(plugin, attachment.capability_args, result or None)
            result = self._result(plugin, self._exec("ADD", plugin, conf, attachment))
        self._cache_write(attachment, result)
        return result

    def delete(self, attachment: Attachment) -> None:
        """Plugins in reverse order, each with the cached result of the ADD; then the cache is dropped."""
        cached = self.cached(attachment) if _order(self.conflist.cni_version) >= (0, 4, 0) else None
        for plugin in reversed(self.conflist.plugins):
            self._exec("DEL", plugin, self._conf(plugin, attachment.capability_args, cached), attachment)
        self._cache_path(attachment.container, attachment.ifname).unlink(missing_ok=True)

    def check(self, attachment: Attachment) -> None:
        """Asks every plugin whether the attachment is still as ADD made it."""
        self._need("CHECK", (0, 4, 0))
        if self.conflist.disable_check:
            return
        cached = self.cached(attachment)
        for plugin in self.conflist.plugins:
            self._exec("CHECK", plugin, self._conf(plugin, attachment.capability_args, cached), attachment)

    def gc(self, valid: Iterable[tuple[str, str]]) -> None:
        """Deletes cached attachments that are not in `valid` (container, ifname), then tells the plugins."""
        if self.conflist.disable_gc:
            return
        keep = sorted(set(valid))
        failures = [*self._delete_stale(set(keep)), *self._gc_plugins(keep)]
        if failures:
            raise RuntimeFailure(failures[0].code, "; ".join(str(f) for f in failures))

    def status(self) -> None:
        """Raises when a plugin can not serve an ADD now. Versions before 1.1.0 cannot be asked."""
        if _order(self.conflist.cni_version) >= (1, 1, 0):
            for plugin in self.conflist.plugins:
                self._exec("STATUS", plugin, self._conf(plugin, {}, None), None)

    def version(self) -> dict[str, list[str]]:
        """The versions each plugin supports, by plugin type."""
        conf: Json = {"cniVersion": LATEST_VERSION}
        answers = {p["type"]: self._exec("VERSION", p, conf, None) for p in self.conflist.plugins}
        return {kind: list(_object(out, f"{kind}: version")["supportedVersions"]) for kind, out in answers.items()}

    def cached(self, attachment: Attachment) -> Json | None:
        """The result of the ADD, None when there is none."""
        entry = self._cache_read(self._cache_path(attachment.container, attachment.ifname))
        return entry.get("result") if entry else None

    def _need(self, verb: str, since: tuple[int, ...]) -> None:
        if _order(self.conflist.cni_version) < since:
            raise RuntimeFailure(1, f"configuration version {self.conflist.cni_version} does not support {verb}")

    def _delete_stale(self, keep: set[tuple[str, str]]) -> Iterator[RuntimeFailure]:
        for path in sorted(self._cache_path("", "").parent.glob("*")):
            entry = self._cache_read(path)
            if not entry or entry.get("networkName") != self.conflist.name:
                continue
            if (entry["containerId"], entry["ifName"]) not in keep:
                try:
                    self.delete(_cached_attachment(entry))
                except RuntimeFailure as e:
                    yield e

    def _gc_plugins(self, keep: Sequence[tuple[str, str]]) -> Iterator[RuntimeFailure]:
        pairs = [{"containerID": container, "ifname": ifname} for container, ifname in keep]
        both = {"cni.dev/valid-attachments": pairs, "cni.dev/attachments": pairs}  # the tag's spelling, and HEAD's
        for plugin in self.conflist.plugins if _order(self.conflist.cni_version) >= (1, 1, 0) else ():
            try:
                self._exec("GC", plugin, self._conf(plugin, {}, None) | both, None)
            except RuntimeFailure as e:
                yield e

    def _conf(self, plugin: Json, capability_args: Mapping[str, object], prev: Json | None) -> Json:
        conf = plugin | {"name": self.conflist.name, "cniVersion": self.conflist.cni_version}
        if prev is not None:
            conf["prevResult"] = prev
        declared = plugin.get("capabilities", {})
        runtime_config = {key: value for key, value in capability_args.items() if declared.get(key)}
        return conf | ({"runtimeConfig": runtime_config} if runtime_config else {})

    def _result(self, plugin: Json, stdout: bytes) -> Json:
        result = _object(stdout, f"{plugin['type']}: result")
        version = result.setdefault("cniVersion", self.conflist.cni_version)
        try:
            parse_prev_result(result, version)
        except CniError as e:
            raise RuntimeFailure(e.code, f"{plugin['type']}: malformed result: {e.msg}") from e
        return result

    def _exec(self, verb: str, plugin: Json, conf: Json, attachment: Attachment | None) -> bytes:
        path = self._find(plugin["type"])
        stdin = msgspec.json.encode(conf, order="sorted")
        status, stdout, stderr = _run(path, self._environ(verb, attachment), stdin, self.deadline)
        if status != 0:
            raise _failure(plugin["type"], stdout, stderr)
        return stdout

    def _environ(self, verb: str, attachment: Attachment | None) -> dict[str, str]:
        """GC and STATUS get the attachment's variables too, empty, as libcni exports them."""
        a = attachment or Attachment("", "", "")
        args = ";".join(f"{key}={value}" for key, value in a.args.items())
        cni = {"CNI_COMMAND": verb, "CNI_CONTAINERID": a.container, "CNI_NETNS": a.netns, "CNI_IFNAME": a.ifname}
        path = ":".join(str(d) for d in self.bin_dirs)
        return {**os.environ, **self.env, **cni, "CNI_ARGS": args, "CNI_PATH": path}

    def _find(self, kind: str) -> Path:
        found = next((d / kind for d in self.bin_dirs if "/" not in kind and (d / kind).is_file()), None)
        if found is None:
            raise RuntimeFailure(NO_CODE, f"plugin {kind!r} is in none of {', '.join(map(str, self.bin_dirs))}")
        return found

    def _cache_path(self, container: str, ifname: str) -> Path:
        return self.cache_dir / "results" / f"{self.conflist.name}-{container}-{ifname}"

    def _cache_write(self, a: Attachment, result: Json) -> None:
        path = self._cache_path(a.container, a.ifname)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        conf = {"name": self.conflist.name, "plugins": self.conflist.plugins}
        entry = {
            "kind": "cniCacheV1",
            "containerId": a.container,
            "config": b64encode(msgspec.json.encode(conf)).decode(),
            "ifName": a.ifname,
            "networkName": self.conflist.name,
            "netns": a.netns,
            "cniArgs": [[key, value] for key, value in a.args.items()],
            "capabilityArgs": a.capability_args,
            "result": result,
        }
        path.write_bytes(msgspec.json.encode(entry))

    def _cache_read(self, path: Path) -> Json | None:
        """A cache entry; None when it is absent or unreadable, as after a crash: DEL must go on without."""
        try:
            return _object(path.read_bytes(), str(path))
        except (FileNotFoundError, RuntimeFailure):
            return None


def _cached_attachment(entry: Json) -> Attachment:
    args = dict(entry.get("cniArgs") or [])
    capability_args = entry.get("capabilityArgs") or {}
    return Attachment(entry["containerId"], entry.get("netns", ""), entry["ifName"], args, capability_args)


def _run(path: Path, env: Mapping[str, str], stdin: bytes, deadline: float) -> tuple[int, bytes, bytes]:
    """Runs a plugin to its end. Descriptors of ours are close-on-exec, so `close_fds` is not needed, and
    without it Python can use posix_spawn(), which does not copy page tables."""
    process = _spawn(path, env)
    try:
        stdout, stderr = process.communicate(stdin, timeout=deadline)
    except subprocess.TimeoutExpired as e:
        raise RuntimeFailure(NO_CODE, f"{path.name}: killed, no answer within {deadline:g} s") from e
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    return process.returncode, stdout, stderr


def _spawn(path: Path, env: Mapping[str, str], tries: int = _BUSY_TRIES) -> "subprocess.Popen[bytes]":
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen([str(path)], env=env, stdin=pipe, stdout=pipe, stderr=pipe, close_fds=False)
    except OSError as e:
        if e.errno != errno.ETXTBSY or tries == 1:
            raise RuntimeFailure(NO_CODE, f"cannot execute {path}: {e.strerror}") from e
    time.sleep(0.02)
    return _spawn(path, env, tries - 1)


def _failure(kind: str, stdout: bytes, stderr: bytes) -> RuntimeFailure:
    """The error result on stdout; only stdout counts, whatever the specification's overview says."""
    try:
        error = msgspec.json.decode(stdout, type=Json)
        return RuntimeFailure(int(error["code"]), str(error.get("msg", "")), str(error.get("details", "")))
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        said = (stdout or stderr).decode(errors="replace").strip()[:500]
        return RuntimeFailure(NO_CODE, f"{kind} failed without an error result; it said {said!r}")
