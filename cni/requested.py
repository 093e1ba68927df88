"""What a runtime tells about the pod, and asks for it: CNI_ARGS, `args.cni` and `runtimeConfig`.

Three ways lead to the same facts (the CNI project's CONVENTIONS.md): CNI_ARGS, the oldest, is beaten by
`args.cni` in the configuration, which is beaten by `runtimeConfig`, the result of a declared capability.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any, NamedTuple

from cni.errors import CniError, ErrorCode
from cni.fields import field, fold, invalid, refuse, show
from cni.ranges import ANYWHERE, AskedRanges, parse_asked
from cni.result import NO_DNS, Dns, parse_dns

_KUBERNETES_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_ANNOTATIONS = "io.kubernetes.cri.pod-annotations"  # containerd's name of the capability
_MOST_RATE, _MOST_BURST = (1 << 63) - 1, 8 * ((1 << 32) - 1)
"""In bits per second and in bits: what the kernel can count in bytes."""
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


@dataclass(frozen=True, slots=True)
class PodArgs:
    """Who the container is to Kubernetes. Empty text where the runtime did not say."""

    namespace: str = ""
    pod: str = ""
    uid: str = ""
    infra_container: str = ""


class Limit(NamedTuple):
    """A rate in bits per second, and how many bits may pass at once after a silence."""

    rate: int
    burst: int


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Limits of what a pod receives (ingress) and sends (egress); None where there is none."""

    ingress: Limit | None = None
    egress: Limit | None = None


NO_LIMITS = Bandwidth()


@dataclass(frozen=True, slots=True)
class Requested:
    """Addresses (at most one of a family) or ranges to have them from, a unicast MAC, limits, and DNS settings for
    the result, that somebody asks for; and the Pod's annotations, None when the runtime does not tell them.

    What cannot be granted must be refused, not ignored; the keys, where it was asked, are for that refusal.
    """

    ips: tuple[IPv4Interface | IPv6Interface, ...] = ()
    mac: str = ""
    dns: Dns = NO_DNS
    bandwidth: Bandwidth = NO_LIMITS
    ranges: AskedRanges = ANYWHERE
    annotations: Mapping[str, str] | None = None
    ips_key: str = dataclass_field(default="ips", compare=False)
    mac_key: str = dataclass_field(default="mac", compare=False)


def parse_args(text: str) -> dict[str, str]:
    """CNI_ARGS: `K=V` pairs between semicolons, in any order; values may hold `=`. Errors: CniError 4."""
    args: dict[str, str] = {}
    for pair in filter(None, text.split(";")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise CniError(ErrorCode.INVALID_ENVIRONMENT, f"CNI_ARGS: {show(pair)}: expected KEY=VALUE")
        args[key.strip()] = value
    return args


def parse_pod(args: Mapping[str, str], conf: Mapping[str, Any]) -> PodArgs:
    """The pod in CNI_ARGS, and in `args.cni` where a runtime gives none. Unknown keys are left alone.

    Errors: CniError 4 or 7, also when the two name different pods: what stands in the configuration of a further
    attachment can be its user's, and is not to choose whose policies count.
    """
    known = {key: _either(args, conf, "K8S_POD_" + key) for key in ("NAMESPACE", "NAME", "UID", "INFRA_CONTAINER_ID")}
    for key in ("NAMESPACE", "NAME"):
        if known[key] and not _KUBERNETES_NAME.fullmatch(known[key]):
            raise CniError(
                ErrorCode.INVALID_ENVIRONMENT,
                f"CNI_ARGS: K8S_POD_{key}={show(known[key])}: not a Kubernetes name",
            )
    for key, value in known.items():
        if not value.isprintable():
            raise CniError(
                ErrorCode.INVALID_ENVIRONMENT, f"CNI_ARGS: K8S_POD_{key}={show(value)}: expected printable text"
            )
    return PodArgs(known["NAMESPACE"], known["NAME"], known["UID"], known["INFRA_CONTAINER_ID"])


def _either(args: Mapping[str, str], conf: Mapping[str, Any], key: str) -> str:
    told, configured = args.get(key, ""), field(_args_cni(conf), key, str, "", where="args.cni.")
    if told and configured not in ("", told):
        raise CniError(
            ErrorCode.INVALID_ENVIRONMENT,
            f"network configuration: args.cni.{key}={show(configured)}: CNI_ARGS says {show(told)}, and the pod"
            " is the runtime's to name; remove the key",
        )
    return told or configured


def _args_cni(conf: Mapping[str, Any]) -> dict[str, Any]:
    args = field(conf, "args", dict[str, Any], {})
    return field(args, "cni", dict[str, Any], {}, where="args.")


_UNSHAPED = dict.fromkeys(("shapedsubnets", "unshapedsubnets"), "remove it, Weft shapes all of a pod's packets")
_DNS = ("servers", "searches", "options")
_OTHERS = {
    "portmappings": "Weft does not do this; chain the portmap plugin behind Weft, and declare the capability there",
    "aliases": "Weft does not do this; remove the capability, Weft gives pods no names",
    "infinibandguid": "Weft does not do this; remove the capability, a pod's interface is no InfiniBand device",
    "deviceid": "Weft does not do this; remove the capability, a pod's interface is no device of the host's",
}
"""Capabilities of the conventions that Weft does not have, and what to do about them. Other keys only inform."""


def parse_requested(args: Mapping[str, str], conf: Mapping[str, Any], runtime: Mapping[str, Any]) -> Requested:
    """What is asked for; the strongest source that names something wins. Errors: CniError 2 for what Weft does not
    do, 7 for what cannot be read."""
    refuse(runtime, _OTHERS, where="runtimeConfig.")
    sources = (
        ("runtimeConfig.", fold(runtime)),
        ("args.cni.", fold(_args_cni(conf))),
        ("CNI_ARGS.", _legacy(args)),
    )
    all_ips = [(ips, where + "ips") for where, source in sources if (ips := _ips(source, where))]
    all_macs = [(mac, where + "mac") for where, source in sources if (mac := _mac(source, where))]
    (ips, ips_key), (mac, mac_key) = (*all_ips, ((), "ips"))[0], (*all_macs, ("", "mac"))[0]
    return Requested(
        ips=ips,
        mac=mac,
        dns=_dns(conf, fold(runtime)),
        bandwidth=parse_bandwidth(runtime),
        ranges=parse_asked(runtime),
        annotations=_annotations(runtime),
        ips_key=ips_key,
        mac_key=mac_key,
    )


def _annotations(runtime: Mapping[str, Any]) -> Mapping[str, str] | None:
    told = runtime.get(_ANNOTATIONS) is not None
    return field(runtime, _ANNOTATIONS, dict[str, str], {}, where="runtimeConfig.") if told else None


def parse_bandwidth(runtime: Mapping[str, Any]) -> Bandwidth:
    """`runtimeConfig.bandwidth`. A runtime makes it of the annotations kubernetes.io/ingress-bandwidth and
    egress-bandwidth. Errors: CniError 2 or 7."""
    where = "runtimeConfig."
    asked = field(fold(runtime), "bandwidth", dict[str, Any], {}, where=where)
    refuse(asked, _UNSHAPED, where=where + "bandwidth.")
    asked = fold(asked)
    return Bandwidth(_limit(asked, "ingress"), _limit(asked, "egress"))


def _limit(asked: Mapping[str, Any], direction: str) -> Limit | None:
    """Of a bandwidth whose keys are in lower case."""
    where, keys = "runtimeConfig.bandwidth.", (direction + "Rate", direction + "Burst")
    limit = Limit(*(field({key: asked.get(key.lower())}, key, int, 0, where=where) for key in keys))
    if limit == (0, 0):
        return None
    for key, value, most in zip(keys, limit, (_MOST_RATE, _MOST_BURST), strict=True):
        if not 8 <= value <= most:
            raise invalid(where + key, value, f"a limit has {' and '.join(keys)}, in bits, of 8 to {most}")
    return limit


def _dns(conf: Mapping[str, Any], runtime: Mapping[str, Any]) -> Dns:
    """`runtimeConfig.dns` (servers, searches, options), else the configuration's own `dns`."""
    asked, where = fold(field(runtime, "dns", dict[str, Any], {}, where="runtimeConfig.")), "runtimeConfig.dns."
    if not asked:
        return parse_dns(conf)
    for key in asked.keys() - set(_DNS):
        raise invalid(where + key, asked[key], f"expected one of {', '.join(_DNS)}")
    servers, searches, options = (field(asked, key, tuple[str, ...], (), where=where) for key in _DNS)
    return Dns(servers, "", searches, options)


def _legacy(args: Mapping[str, str]) -> dict[str, Any]:
    """CNI_ARGS in the form of the other two: `IP` is a comma-separated list."""
    ips = [ip for ip in args.get("IP", "").split(",") if ip]
    return {"ips": ips, "mac": args.get("MAC", "")}


def _ips(source: Mapping[str, Any], where: str) -> tuple[IPv4Interface | IPv6Interface, ...]:
    texts = field(source, "ips", list[str], [], where=where)
    try:
        ips = tuple(ip_interface(text) for text in texts)
    except ValueError as e:
        raise invalid(where + "ips", texts, f"expected IP addresses: {e}") from e
    if len({ip.version for ip in ips}) < len(ips):
        raise invalid(where + "ips", texts, "a pod has one address of each family")
    return ips


def _mac(source: Mapping[str, Any], where: str) -> str:
    mac = field(source, "mac", str, "", where=where)
    if mac and not _MAC.fullmatch(mac):
        raise invalid(where + "mac", mac, "expected six hexadecimal bytes between colons")
    if mac and (int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00"):
        raise invalid(where + "mac", mac, "an interface needs a unicast address")
    return mac.lower()
