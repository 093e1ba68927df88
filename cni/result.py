"""CNI results: one value inside, one shape per specification version at the border.

The shapes are data (`_SHAPES`), from the "Result" sections of the specifications 0.1.0 to 1.1.0; what a
version cannot express is left out of its rendering, never written in a newer form that a runtime would
refuse.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Annotated, Any, TypeVar

import msgspec

from cni.errors import CniError, ErrorCode
from cni.fields import field, invalid

T = TypeVar("T")
_Unsigned = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
SUPPORTED_VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface the attachment made; `sandbox` is CNI_NETNS verbatim, empty on the host."""

    name: str
    mac: str = ""
    sandbox: str = ""
    mtu: int | None = None
    socket_path: str = ""
    pci_id: str = ""


@dataclass(frozen=True, slots=True)
class IpConfig:
    """An address of the container; `interface` is an index into `Result.interfaces`."""

    address: IPv4Interface | IPv6Interface
    gateway: IPv4Address | IPv6Address | None = None
    interface: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the container. `scope` is the kernel's number (253 link, 0 global)."""

    dst: IPv4Network | IPv6Network
    gw: IPv4Address | IPv6Address | None = None
    mtu: int | None = None
    advmss: int | None = None
    priority: int | None = None
    table: int | None = None
    scope: int | None = None


@dataclass(frozen=True, slots=True)
class Dns:
    nameservers: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


NO_DNS = Dns()


@dataclass(frozen=True, slots=True)
class Result:
    """What ADD returns, and what later calls get back as `prevResult`."""

    interfaces: tuple[Interface, ...] = ()
    ips: tuple[IpConfig, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: Dns = NO_DNS

    def addresses_of(self, ifname: str) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """What an interface of the container has; nothing in versions that tell no interfaces."""
        return tuple(
            ip.address
            for ip in self.ips
            if ip.interface is not None
            and (interface := self.interfaces[ip.interface]).name == ifname
            and interface.sandbox
        )

    def behind(self, earlier: "Result | None", dns: Dns) -> "Result":
        """What a plugin tells that added this to what plugins before it in the chain have told (SPEC, "Chained
        plugins"). `dns` was given in its own configuration; without it, the earlier one stays."""
        before = earlier or Result()
        shift = len(before.interfaces)
        ips = tuple(
            replace(ip, interface=ip.interface + shift) if ip.interface is not None else ip for ip in self.ips
        )
        return Result(
            (*before.interfaces, *self.interfaces),
            (*before.ips, *ips),
            (*before.routes, *self.routes),
            before.dns if dns == NO_DNS else dns,
        )


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a specification version writes a result: pairs of JSON key and attribute, and two oddities."""

    interface: tuple[tuple[str, str], ...] = ()
    route: tuple[tuple[str, str], ...] = (("dst", "dst"), ("gw", "gw"))
    ip_version: bool = False  # ips[].version, "4" or "6"
    by_family: bool = False  # one `ip4` and one `ip6`, each with its own routes; no interfaces


_INTERFACE = (("name", "name"), ("mac", "mac"), ("sandbox", "sandbox"))
_BY_FAMILY = _Shape(by_family=True)
_WITH_VERSION = _Shape(interface=_INTERFACE, ip_version=True)
_SHAPES: Mapping[str, _Shape] = {
    "0.1.0": _BY_FAMILY,
    "0.2.0": _BY_FAMILY,
    "0.3.0": _WITH_VERSION,
    "0.3.1": _WITH_VERSION,
    "0.4.0": _WITH_VERSION,
    "1.0.0": _Shape(interface=_INTERFACE),
    "1.1.0": _Shape(
        interface=(*_INTERFACE, ("mtu", "mtu"), ("socketPath", "socket_path"), ("pciID", "pci_id")),
        route=(
            *(("dst", "dst"), ("gw", "gw"), ("mtu", "mtu"), ("advmss", "advmss")),
            *(("priority", "priority"), ("table", "table"), ("scope", "scope")),
        ),
    ),
}


def _shape(version: str) -> _Shape:
    shape = _SHAPES.get(version)
    if shape is None:
        raise CniError(
            ErrorCode.INCOMPATIBLE_VERSION,
            f"cniVersion {version!r} is not supported; use one of {', '.join(SUPPORTED_VERSIONS)}",
        )
    return shape


def render(result: Result, cni_version: str) -> bytes:
    """`result` as JSON of `cni_version`, the version of the request's configuration.

    Errors: CniError 1 for a version that is not supported or cannot express the result.
    """
    shape = _shape(cni_version)
    body = _render_families(result, cni_version) if shape.by_family else _render_lists(result, shape)
    return msgspec.json.encode({"cniVersion": cni_version, **body, "dns": _render_dns(result.dns)})


def _render_lists(result: Result, shape: _Shape) -> dict[str, object]:
    lists: dict[str, list[dict[str, object]]] = {
        "interfaces": [_pick(interface, shape.interface) for interface in result.interfaces],
        "ips": [_render_ip(ip, shape) for ip in result.ips],
        "routes": [_pick(route, shape.route) for route in result.routes],
    }
    return {key: value for key, value in lists.items() if value}


def _render_ip(ip: IpConfig, shape: _Shape) -> dict[str, object]:
    version: dict[str, object] = {"version": str(ip.address.version)} if shape.ip_version else {}
    keys = (("interface", "interface"), ("address", "address"), ("gateway", "gateway"))
    return version | _pick(ip, keys)


def _render_families(result: Result, version: str) -> dict[str, object]:
    body: dict[str, object] = {}
    for family in (4, 6):
        first = next((ip for ip in result.ips if ip.address.version == family), None)
        if first is None:
            continue
        routes = [_pick(r, _BY_FAMILY.route) for r in result.routes if r.dst.version == family]
        parts = _pick(first, (("ip", "address"), ("gateway", "gateway")))
        body[f"ip{family}"] = parts | ({"routes": routes} if routes else {})
    if not body:
        raise CniError(ErrorCode.INCOMPATIBLE_VERSION, f"a result without addresses cannot be told in {version}")
    return body


def _render_dns(dns: Dns) -> dict[str, object]:
    return _pick(dns, tuple((key, key) for key in ("nameservers", "domain", "search", "options")))


def _pick(value: object, keys: Sequence[tuple[str, str]]) -> dict[str, object]:
    """The named attributes that are set. Zero is a value (index 0, table 0); empty text and None are not."""
    found = ((key, getattr(value, attribute)) for key, attribute in keys)
    return {key: _plain(item) for key, item in found if item is not None and item not in ("", ())}


def _plain(item: object) -> object:
    return item if isinstance(item, int | str | tuple) else str(item)


def parse_prev_result(obj: object, version: str) -> Result:
    """The result of an earlier plugin or call, from a configuration of `version`.

    Errors: CniError 7 naming key and value; CniError 1 for a version that is not supported.
    """
    shape = _shape(version)
    if not isinstance(obj, dict):
        raise invalid("prevResult", obj, "expected an object")
    if shape.by_family:
        return _parse_families(obj)
    where = "prevResult."
    interfaces = tuple(_parse_interface(i) for i in _objects(obj, "interfaces", where))
    ips = tuple(_parse_listed_ip(i, where + "ips.") for i in _objects(obj, "ips", where))
    for ip in ips:
        if ip.interface is not None and not 0 <= ip.interface < len(interfaces):
            raise invalid("prevResult.ips.interface", ip.interface, f"{len(interfaces)} interfaces are listed")
    routes = tuple(_parse_route(r, where + "routes.") for r in _objects(obj, "routes", where))
    return Result(interfaces, ips, routes, parse_dns(obj, where))


def _parse_families(obj: Mapping[str, Any]) -> Result:
    ips: list[IpConfig] = []
    routes: list[Route] = []
    for key in ("ip4", "ip6"):
        part = field(obj, key, dict[str, Any], {}, where="prevResult.")
        if part:
            where = f"prevResult.{key}."
            ips.append(_parse_ip(part, "ip", where))
            routes += (_parse_route(r, where + "routes.") for r in _objects(part, "routes", where))
    return Result((), tuple(ips), tuple(routes), parse_dns(obj, "prevResult."))


def _parse_interface(obj: Mapping[str, Any]) -> Interface:
    where = "prevResult.interfaces."
    text = {key: field(obj, key, str, "", where=where) for key in ("name", "mac", "sandbox", "socketPath", "pciID")}
    return Interface(
        *(text["name"], text["mac"], text["sandbox"]), _number(obj, "mtu", where), text["socketPath"], text["pciID"]
    )


def _parse_ip(obj: Mapping[str, Any], key: str, where: str) -> IpConfig:
    address = _parsed(obj, key, parse_interface, where)
    if address is None:
        raise invalid(where + key, None, "expected an address with prefix length")
    return IpConfig(address, _parsed(obj, "gateway", ip_address, where))


def _parse_listed_ip(obj: Mapping[str, Any], where: str) -> IpConfig:
    return replace(_parse_ip(obj, "address", where), interface=_number(obj, "interface", where))


def _parse_route(obj: Mapping[str, Any], where: str) -> Route:
    dst = _parsed(obj, "dst", parse_network, where)
    if dst is None:
        raise invalid(where + "dst", None, "expected a network")
    numbers = (_number(obj, key, where) for key in ("mtu", "advmss", "priority", "table", "scope"))
    return Route(dst, _parsed(obj, "gw", ip_address, where), *numbers)


def parse_dns(obj: Mapping[str, Any], where: str = "") -> Dns:
    """The `dns` key of a configuration or result. Errors: CniError 7."""
    dns, inside = field(obj, "dns", dict[str, Any], {}, where=where), where + "dns."
    lists = {key: field(dns, key, tuple[str, ...], (), where=inside) for key in ("nameservers", "search", "options")}
    return Dns(lists["nameservers"], field(dns, "domain", str, "", where=inside), lists["search"], lists["options"])


def parse_interface(text: str) -> IPv4Interface | IPv6Interface:
    """An address with its prefix length, which `ip_interface` alone would let be absent. Errors: ValueError."""
    if "/" not in text:
        raise ValueError("expected an address with prefix length")
    return ip_interface(text)


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """A network; host bits are cleared, as other plugins' results may have them. Errors: ValueError."""
    if "/" not in text:
        raise ValueError("expected a network with prefix length")
    return ip_network(text, strict=False)


def _objects(obj: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    return field(obj, key, list[dict[str, Any]], [], where=where)


def _number(obj: Mapping[str, Any], key: str, where: str) -> int | None:
    return field(obj, key, _Unsigned, 0, where=where) if obj.get(key) is not None else None


def _parsed(obj: Mapping[str, Any], key: str, parse: Callable[[str], T], where: str) -> T | None:
    text = field(obj, key, str, "", where=where)
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as e:
        raise invalid(where + key, text, str(e)) from e
