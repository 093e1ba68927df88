"""CNI requests, parsed once: environment and stdin become one frozen command, or a `CniError`.

Checks follow the CNI specification 1.1.0 (section 2 "Parameters", section 3 "Network configuration") and,
where it is silent, the order in which the Go skeleton checks: environment, JSON, name, version.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import msgspec

from cni.errors import CniError, ErrorCode
from cni.fields import field, fold, invalid, refuse, show
from cni.ranges import Pools, parse_pools
from cni.requested import (
    Bandwidth,
    PodArgs,
    Requested,
    parse_args,
    parse_bandwidth,
    parse_pod,
    parse_requested,
)
from cni.result import SUPPORTED_VERSIONS, Dns, Result, parse_dns, parse_prev_result

_IDENTIFIER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
_MAX_IFNAME_BYTES = 15  # IFNAMSIZ less the NUL
_SYSCTL_DIRECTORIES = ("all", "default")  # beside those of interfaces
_OLDEST_VERSION = "0.1.0"  # what a configuration without cniVersion means
_FALLBACK_VERSION = "1.0.0"  # what an error says when the configuration's version is unknown
_UNDERSTOOD = ("CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH")
_VALID_ATTACHMENTS = ("cni.dev/valid-attachments", "cni.dev/attachments")
_DEL_READS = ("cniVersion", "name", "type", "prevResult", "args")


@dataclass(frozen=True, slots=True)
class Attachment:
    """One interface of one container. Its key within a network is (container, ifname).

    `netns` is empty on a DEL after the namespace has gone. `netns_override` tells (CNI_NETNS_OVERRIDE=1)
    to accept the plugin's own namespace.
    """

    container: str
    netns: str
    ifname: str
    args: PodArgs
    netns_override: bool = False


@dataclass(frozen=True, slots=True)
class NetConf:
    """A plugin's network configuration. `pools` are read for ADD alone; `raw` is all of it."""

    cni_version: str
    name: str
    type: str
    prev_result: Result | None
    runtime_config: Mapping[str, Any]
    dns: Dns
    pools: Pools
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Add:
    attachment: Attachment
    conf: NetConf
    requested: Requested


@dataclass(frozen=True, slots=True)
class Del:
    attachment: Attachment
    conf: NetConf


@dataclass(frozen=True, slots=True)
class Check:
    """`conf.prev_result` is never None here."""

    attachment: Attachment
    conf: NetConf
    bandwidth: Bandwidth


@dataclass(frozen=True, slots=True)
class Gc:
    """`valid`: the (container, ifname) pairs to keep; None when the runtime did not say: keep everything."""

    conf: NetConf
    valid: frozenset[tuple[str, str]] | None


@dataclass(frozen=True, slots=True)
class Status:
    conf: NetConf


@dataclass(frozen=True, slots=True)
class Version:
    pass


Command = Add | Del | Check | Gc | Status | Version


@dataclass(frozen=True, slots=True)
class _Verb:
    """What a command requires: variables that must be set, and the first version that has the command."""

    required: tuple[str, ...]
    since: str = _OLDEST_VERSION


_VERBS: Mapping[str, _Verb] = {
    "ADD": _Verb(("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME")),
    "DEL": _Verb(("CNI_CONTAINERID", "CNI_IFNAME")),
    "CHECK": _Verb(("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"), since="0.4.0"),
    "GC": _Verb(("CNI_PATH",), since="1.1.0"),
    "STATUS": _Verb((), since="1.1.0"),
    "VERSION": _Verb(()),
}

VERBS = tuple(_VERBS)
"""The values that CNI_COMMAND may have."""

UNKNOWN_VERB = "unknown"


def verb_of(env: Mapping[str, str]) -> str:
    """CNI_COMMAND when it is a verb, else UNKNOWN_VERB: a caller's text names no series of a metric."""
    verb = env.get("CNI_COMMAND", "")
    return verb if verb in VERBS else UNKNOWN_VERB


def parse(env: Mapping[str, str], stdin: bytes) -> Command:
    """The command in a request. Errors: CniError 1, 4, 6 or 7, naming the key and the value."""
    verb = _check_env(env)
    if verb == "VERSION":
        return Version()
    obj = _decode(stdin)
    conf = _netconf(_for_del(obj) if verb == "DEL" else obj, verb)
    if verb == "STATUS":
        return Status(conf)
    if verb == "GC":
        return Gc(conf, _valid_attachments(conf.raw))
    return _attachment_command(verb, env, conf)


def error_version(stdin: bytes) -> str:
    """The cniVersion that an error answer echoes: the configuration's if it can be had, else 1.0.0."""
    try:
        version = _decode(stdin).get("cniVersion") or _OLDEST_VERSION
    except CniError:
        return _FALLBACK_VERSION
    return version if version in SUPPORTED_VERSIONS else _FALLBACK_VERSION


def _attachment_command(verb: str, env: Mapping[str, str], conf: NetConf) -> Command:
    if verb == "DEL":
        return Del(_attachment(env, _pod_if_readable(env, conf), removing=True), conf)
    args = parse_args(env.get("CNI_ARGS", ""))
    attachment = _attachment(env, parse_pod(args, conf.raw))
    if verb == "ADD":
        return Add(attachment, conf, parse_requested(args, conf.raw, conf.runtime_config))
    if conf.prev_result is None:
        raise CniError(
            ErrorCode.INVALID_NETWORK_CONFIG,
            "network configuration: prevResult is missing; CHECK needs the result of the ADD",
        )
    return Check(attachment, conf, parse_bandwidth(conf.runtime_config))


def _for_del(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that say what to free. The others are about attaching, and may have been spoilt since the ADD."""
    return {key: obj[key] for key in _DEL_READS if key in obj}


def _pod_if_readable(env: Mapping[str, str], conf: NetConf) -> PodArgs:
    """A runtime calls DEL after the ADD that was refused for these very arguments, and again until it succeeds."""
    try:
        return parse_pod(parse_args(env.get("CNI_ARGS", "")), conf.raw)
    except CniError:
        return PodArgs()


def _check_env(env: Mapping[str, str]) -> str:
    """The command, when it is known and every variable it needs is set. Empty counts as unset."""
    verb = env.get("CNI_COMMAND", "")
    if verb and verb not in _VERBS:
        _refuse("CNI_COMMAND", verb, f"expected one of {', '.join(_VERBS)}")
    required = ("CNI_COMMAND", *(_VERBS[verb].required if verb else ()))
    if missing := [name for name in required if not env.get(name)]:
        raise CniError(
            ErrorCode.INVALID_ENVIRONMENT,
            f"required environment variables missing: {', '.join(missing)}",
        )
    # A DEL follows the ADD that was refused for it, again and again until it succeeds.
    for name in () if verb == "DEL" else _UNDERSTOOD:
        if not env.get(name, "").isprintable():
            _refuse(name, env[name], "expected printable UTF-8 text")
    return verb


def _refuse(name: str, value: str, expected: str) -> NoReturn:
    raise CniError(ErrorCode.INVALID_ENVIRONMENT, f"{name}={show(value)}: {expected}")


def _attachment(env: Mapping[str, str], pod: PodArgs, *, removing: bool = False) -> Attachment:
    container, ifname = env["CNI_CONTAINERID"], env["CNI_IFNAME"]
    if not _IDENTIFIER.fullmatch(container):
        _refuse("CNI_CONTAINERID", container, "expected a letter or digit, then letters, digits, '_', '.', '-'")
    if (problem := _ifname_problem(ifname, removing=removing)) is not None:
        _refuse("CNI_IFNAME", ifname, problem)
    override = env.get("CNI_NETNS_OVERRIDE", "").lower() in ("1", "true")
    return Attachment(container, env.get("CNI_NETNS", ""), ifname, pod, override)


def _ifname_problem(name: str, *, removing: bool) -> str | None:
    """What the kernel does not take as a name; for what is to be made also `%d`, for which it would put a number, and
    names that sysctl has for something else."""
    if len(name.encode()) > _MAX_IFNAME_BYTES:
        return f"an interface name has at most {_MAX_IFNAME_BYTES} bytes"
    if name in (".", "..") or (name in _SYSCTL_DIRECTORIES and not removing):
        return "this name is reserved"
    if any(c in "/:" or c.isspace() for c in name) or ("%" in name and not removing):
        return "an interface name has no '/', ':', '%' or white space"
    return None


def _decode(stdin: bytes) -> dict[str, Any]:
    try:
        obj = msgspec.json.decode(stdin)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise CniError(ErrorCode.DECODE_FAILURE, f"network configuration is not JSON: {e}") from e
    if not isinstance(obj, dict):
        raise CniError(ErrorCode.DECODE_FAILURE, f"network configuration is {show(obj)}, expected an object")
    return obj


def _netconf(obj: dict[str, Any], verb: str) -> NetConf:
    name = _name(obj)
    version = _version(obj, verb)
    _refuse_ipam(obj)
    _refuse_unmasked(obj)
    refuse(obj, _FOREIGN)
    return NetConf(
        cni_version=version,
        name=name,
        type=field(obj, "type", str, ""),
        prev_result=_prev_result(obj, version, verb),
        runtime_config=field(obj, "runtimeConfig", dict[str, Any], {}),
        dns=parse_dns(obj),
        pools=parse_pools(obj) if verb == "ADD" else {},
        raw=obj,
    )


def _name(obj: Mapping[str, Any]) -> str:
    name = field(obj, "name", str, "")
    if not name:
        raise CniError(ErrorCode.INVALID_NETWORK_CONFIG, "network configuration: name is missing")
    if not _IDENTIFIER.fullmatch(name):
        raise invalid("name", name, "expected a letter or digit, then letters, digits, '_', '.', '-'")
    return name


def _version(obj: Mapping[str, Any], verb: str) -> str:
    version = obj.get("cniVersion") or _OLDEST_VERSION
    unparsable = not isinstance(version, str) or not re.fullmatch(r"\d+\.\d+\.\d+", version, re.ASCII)
    # The skeleton parses the version only where it compares it; elsewhere it looks it up.
    if not isinstance(version, str) or (unparsable and _VERBS[verb].since != _OLDEST_VERSION):
        raise CniError(ErrorCode.DECODE_FAILURE, f'cniVersion={show(version)}: expected text such as "1.0.0"')
    if version not in SUPPORTED_VERSIONS:
        supported = ", ".join(SUPPORTED_VERSIONS)
        raise CniError(ErrorCode.INCOMPATIBLE_VERSION, f"cniVersion={show(version)}: supported are {supported}")
    if SUPPORTED_VERSIONS.index(version) < SUPPORTED_VERSIONS.index(_VERBS[verb].since):
        raise CniError(
            ErrorCode.INCOMPATIBLE_VERSION,
            f"cniVersion={show(version)}: {verb} came with version {_VERBS[verb].since}",
        )
    return version


def _refuse_ipam(obj: Mapping[str, Any]) -> None:
    """Weft allocates from the Node's podCIDRs; a delegate's addresses would not be routed."""
    ipam = fold(field(obj, "ipam", dict[str, Any], {})).get("type")
    if ipam:
        raise CniError(
            ErrorCode.UNSUPPORTED_FIELD,
            f"network configuration: ipam.type={show(ipam)}: remove it, addresses come from the Node's podCIDRs",
        )


def _refuse_unmasked(obj: Mapping[str, Any]) -> None:
    """A node masquerades what its pods send out of the cluster, for all of them or none."""
    if obj.get("ipMasq") is not None and not field(obj, "ipMasq", bool, True):
        raise CniError(
            ErrorCode.UNSUPPORTED_FIELD,
            "network configuration: ipMasq=false: remove it, what pods send out of the cluster is masqueraded",
        )


_LIMITS = "declare the capability bandwidth in its place; a runtime then asks for each pod's limits"
_FOREIGN = {
    "mtu": "remove it; the MTU of pods is the agent's setting mtu",
    **dict.fromkeys(("ingressrate", "ingressburst", "egressrate", "egressburst"), _LIMITS),
}
"""Keys that other plugins take for what Weft does by other means, and what to do about them."""


def _prev_result(obj: Mapping[str, Any], version: str, verb: str) -> Result | None:
    raw = obj.get("prevResult")
    if raw is None:
        return None
    try:
        return parse_prev_result(raw, version)
    except CniError:
        if verb == "DEL":  # a DEL that cannot read what ADD said must free it all the same
            return None
        raise


def _valid_attachments(obj: Mapping[str, Any]) -> frozenset[tuple[str, str]] | None:
    """The union of both spellings. Null is the empty set (a nil slice), an absent key is "unknown"."""
    present = [key for key in _VALID_ATTACHMENTS if key in obj]
    if not present:
        return None
    pairs = ((key, item) for key in present for item in field(obj, key, list[dict[str, Any]], []))
    return frozenset(_pair(key, item) for key, item in pairs)


def _pair(key: str, item: Mapping[str, Any]) -> tuple[str, str]:
    container = field(item, "containerID", str, "", where=key + ".")
    ifname = field(item, "ifname", str, "", where=key + ".")
    if not container or not ifname:
        # An entry misread would take the network from a pod that lives.
        raise invalid(key, item, "expected containerID and ifname")
    return container, ifname
