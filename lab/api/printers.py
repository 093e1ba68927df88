"""What `kubectl get` prints: the cells of the server-side Table, one small function a column.

Source: the columns of kube-apiserver (pkg/printers/internalversion), so that the lab reads like any cluster.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lab.api.errors import Obj

Cell = str | int
NONE = "<none>"
UNKNOWN = "<unknown>"
_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `cell` gets the object and the time of printing; `wide` ones show with `-o wide` only."""

    name: str
    cell: Callable[[Obj, datetime], Cell]
    wide: bool = False
    type: str = "string"

    def definition(self) -> Obj:
        """The TableColumnDefinition (meta/v1)."""
        form = "name" if self.name == "Name" else ""
        priority = 1 if self.wide else 0
        return {"name": self.name, "type": self.type, "format": form, "description": "", "priority": priority}


def field(name: str, path: str, *, wide: bool = False, default: str = NONE) -> Column:
    """A column that shows one scalar of the object, `default` when it is absent."""
    return Column(name, lambda obj, _: _text(dig(obj, path), default), wide)


def dig(obj: Any, path: str) -> Any:
    """The value at a dotted path, None when any step is missing."""
    for part in path.split("."):
        obj = obj.get(part) if isinstance(obj, Mapping) else None
    return obj


def parse_time(text: str) -> datetime | None:
    """An RFC 3339 time, with or without a fraction of a second; None when it is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def age(text: Any, now: datetime) -> str:
    """How long ago a timestamp was, as kubectl says it (k8s.io/apimachinery duration.HumanDuration)."""
    moment = parse_time(text) if isinstance(text, str) else None
    return UNKNOWN if moment is None else duration(int((now - moment).total_seconds()))


def duration(seconds: int) -> str:
    """Seconds as `95s`, `4m10s`, `3h5m`, `2d4h`, `400d`, `3y20d`: two digits of precision, never more."""
    if seconds < 2 * _MINUTE:
        return f"{max(seconds, 0)}s"
    if seconds < 10 * _MINUTE:
        return _pair(seconds, (_MINUTE, "m"), (1, "s"))
    if seconds < 3 * _HOUR:
        return f"{seconds // _MINUTE}m"
    if seconds < 8 * _HOUR:
        return _pair(seconds, (_HOUR, "h"), (_MINUTE, "m"))
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR}h"
    if seconds < 8 * _DAY:
        return _pair(seconds, (_DAY, "d"), (_HOUR, "h"))
    if seconds < 2 * _YEAR:
        return f"{seconds // _DAY}d"
    return _pair(seconds, (_YEAR, "y"), (_DAY, "d")) if seconds < 8 * _YEAR else f"{seconds // _YEAR}y"


def _pair(seconds: int, big: tuple[int, str], small: tuple[int, str]) -> str:
    rest = seconds % big[0] // small[0]
    return f"{seconds // big[0]}{big[1]}" + (f"{rest}{small[1]}" if rest else "")


NAME = field("Name", "metadata.name")
AGE = Column("Age", lambda obj, now: age(dig(obj, "metadata.creationTimestamp"), now))
DEFAULT_COLUMNS = (NAME, AGE)


# Pods


def _pod_ready(pod: Obj, _: datetime) -> str:
    ready = sum(1 for status in _statuses(pod) if status.get("ready"))
    return f"{ready}/{len(dig(pod, 'spec.containers') or ())}"


def _pod_status(pod: Obj, _: datetime) -> str:
    if dig(pod, "metadata.deletionTimestamp"):
        return "Terminating"
    reason = dig(pod, "status.reason") or dig(pod, "status.phase") or UNKNOWN
    for status in _statuses(pod):
        state = status.get("state") or {}
        stopped = state.get("waiting") or state.get("terminated") or {}
        reason = stopped.get("reason") or reason
    return str(reason)


def _pod_restarts(pod: Obj, _: datetime) -> int:
    return sum(int(status.get("restartCount", 0)) for status in _statuses(pod))


def _pod_ips(pod: Obj, _: datetime) -> str:
    return str(dig(pod, "status.podIP") or NONE)


def _statuses(pod: Obj) -> Sequence[Obj]:
    return dig(pod, "status.containerStatuses") or ()


POD_COLUMNS = (
    NAME,
    Column("Ready", _pod_ready),
    Column("Status", _pod_status),
    Column("Restarts", _pod_restarts, type="integer"),
    AGE,
    Column("IP", _pod_ips, wide=True),
    field("Node", "spec.nodeName", wide=True),
)


# Nodes


def node_ready(node: Obj) -> str:
    """`Ready`, `NotReady`, or `Unknown` while nobody has reported the condition."""
    for condition in dig(node, "status.conditions") or ():
        if condition.get("type") == "Ready":
            return "Ready" if condition.get("status") == "True" else "NotReady"
    return "Unknown"


def _node_status(node: Obj, _: datetime) -> str:
    return node_ready(node) + (",SchedulingDisabled" if dig(node, "spec.unschedulable") else "")


def _node_roles(node: Obj, _: datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = dig(node, "metadata.labels") or {}
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or NONE


def _node_address(node: Obj, _: datetime) -> str:
    addresses = dig(node, "status.addresses") or ()
    return next((str(a["address"]) for a in addresses if a.get("type") == "InternalIP"), NONE)


NODE_COLUMNS = (
    NAME,
    Column("Status", _node_status),
    Column("Roles", _node_roles),
    AGE,
    field("Version", "status.nodeInfo.kubeletVersion", default=""),
    Column("Internal-IP", _node_address, wide=True),
    field("OS-Image", "status.nodeInfo.osImage", wide=True, default=UNKNOWN),
    field("Kernel-Version", "status.nodeInfo.kernelVersion", wide=True, default=UNKNOWN),
    field("Container-Runtime", "status.nodeInfo.containerRuntimeVersion", wide=True, default=UNKNOWN),
)


# The rest


def _service_ports(service: Obj, _: datetime) -> str:
    ports = dig(service, "spec.ports") or ()
    return ",".join(f"{p.get('port')}/{p.get('protocol', 'TCP')}" for p in ports) or NONE


def _endpoints(piece: Obj, _: datetime) -> str:
    found = [address for endpoint in piece.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return ",".join(found[:3]) + (f" + {len(found) - 3} more..." if len(found) > 3 else "") or "<unset>"


def _slice_ports(piece: Obj, _: datetime) -> str:
    return ",".join(str(port.get("port")) for port in piece.get("ports") or ()) or "<unset>"


def _selector(path: str) -> Callable[[Obj, datetime], Cell]:
    def cell(obj: Obj, _: datetime) -> str:
        selector = dig(obj, path) or {}
        equals = selector.get("matchLabels", {} if "matchExpressions" in selector else selector)
        clauses = [f"{key}={value}" for key, value in sorted(equals.items())]
        for rule in selector.get("matchExpressions") or ():
            values = f" ({','.join(rule['values'])})" if rule.get("values") else ""
            clauses.append(f"{rule.get('key')} {str(rule.get('operator')).lower()}{values}")
        return ",".join(clauses) or NONE

    return cell


def _event_object(event: Obj, _: datetime) -> str:
    about = event.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _event_age(event: Obj, now: datetime) -> str:
    seen = event.get("lastTimestamp") or event.get("eventTime") or dig(event, "metadata.creationTimestamp")
    return age(seen, now)


NAMESPACE_COLUMNS = (NAME, field("Status", "status.phase"), AGE)
CONFIG_MAP_COLUMNS = (NAME, Column("Data", lambda obj, _: len(obj.get("data") or ()), type="integer"), AGE)
SERVICE_COLUMNS = (
    NAME,
    field("Type", "spec.type", default="ClusterIP"),
    field("Cluster-IP", "spec.clusterIP"),
    Column("Port(s)", _service_ports),
    AGE,
    Column("Selector", _selector("spec.selector"), wide=True),
)
ENDPOINT_SLICE_COLUMNS = (
    NAME,
    field("AddressType", "addressType"),
    Column("Ports", _slice_ports),
    Column("Endpoints", _endpoints),
    AGE,
)
LEASE_COLUMNS = (NAME, field("Holder", "spec.holderIdentity"), AGE)
NETWORK_POLICY_COLUMNS = (NAME, Column("Pod-Selector", _selector("spec.podSelector")), AGE)
EVENT_COLUMNS = (
    Column("Last Seen", _event_age),
    field("Type", "type"),
    field("Reason", "reason"),
    Column("Object", _event_object),
    field("Message", "message"),
    field("Name", "metadata.name", wide=True),
)
CRD_COLUMNS = (NAME, field("Created At", "metadata.creationTimestamp"))


def _text(value: Any, default: str) -> str:
    if value is None or value == "":
        return default
    return str(value).lower() if isinstance(value, bool) else str(value)
