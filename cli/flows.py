"""Flows as rows of a table: which ones were asked for, in which order, in which words. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cli.errors import CliError
from cli.layout import Column, Row
from cli.view import NodeView, pod_key
from openflow import oxm
from openflow.actions import Action, Output, SetField
from openflow.codec import Encoded, Record
from openflow.decode import decode
from openflow.features import pod as pod_feature
from openflow.fields import OutPort, slice_of
from openflow.flow import Feature, Flow, cookie
from openflow.match import Term
from openflow.render import Names, named, ofctl
from openflow.tables import Table

_ADDRESSES = (
    oxm.IPV4_SRC, oxm.IPV4_DST, oxm.IPV6_SRC, oxm.IPV6_DST, oxm.ARP_SPA, oxm.ARP_TPA,
)  # fmt: skip
_OUT = slice_of(OutPort)


@dataclass(frozen=True, slots=True)
class Seen:
    """A flow of a node, with its counters: packets and bytes since it was added, `age` in seconds."""

    node: str
    flow: Flow
    packets: int
    bytes: int
    age: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which flows: of one table, of one pod (`<namespace>/<name>`); None and "" leave the choice open."""

    table: int | None = None
    pod: str = ""


def seen(node: str, records: Iterable[Record]) -> tuple[Seen, ...]:
    """A switch's flows in reading order: by table, then as the switch tries them. Raises DecodeError."""
    found = [Seen(node, decode(Encoded(*r.flow)), r.packets, r.bytes, r.duration) for r in records]
    return tuple(sorted(found, key=_reading_order))


def _reading_order(each: Seen) -> tuple[int, int, bytes]:
    flow = each.flow
    return flow.table, -flow.priority, b"".join(term.wire for term in flow.match)


def table_number(text: str) -> int:
    """The table of that title (any case) or number; CliError lists the right ones."""
    wanted = text.replace("_", "").replace("-", "").lower()
    for table in Table:
        if wanted == table.title.lower() or text == str(int(table)):
            return int(table)
    known = ", ".join(f"{int(table)} {table.title}" for table in Table)
    raise CliError(f"there is no table {text!r}; the tables are {known}")


def select(found: Iterable[Seen], view: NodeView, wanted: Wanted) -> Iterator[Seen]:
    """The flows that were asked for, of this node."""
    involved = _Involved.of(view, wanted.pod) if wanted.pod else None
    for each in found:
        if wanted.table is not None and each.flow.table != wanted.table:
            continue
        if involved is None or involved.has(each.flow):
            yield each


@dataclass(frozen=True, slots=True)
class _Involved:
    """What gives a pod's flows away: their cookie, its ports, its addresses."""

    cookie: int
    ports: frozenset[int]
    addresses: frozenset[int]

    @classmethod
    def of(cls, view: NodeView, pod: str) -> "_Involved":
        namespace, _, name = pod.partition("/")
        mine = [port for port in view.bridge.ports.values() if pod_key(port) == pod]
        return cls(
            cookie(Feature.POD, pod_feature.owner(namespace, name)),
            frozenset(port.ofport for port in mine if port.ofport is not None),
            frozenset(int(ip) for port in mine for ip in port.ips),
        )

    def has(self, flow: Flow) -> bool:
        return (
            flow.cookie == self.cookie
            or any(map(self._is_matched, flow.match))
            or any(map(self._is_reached, flow.actions))
        )

    def _is_matched(self, term: Term) -> bool:
        if term.mask != term.field.full:
            return False
        known = self.ports if term.field is oxm.IN_PORT else self.addresses if term.field in _ADDRESSES else ()
        return term.value in known

    def _is_reached(self, action: Action) -> bool:
        match action:
            case Output(port):
                return port in self.ports
            case SetField(target, value, mask):
                return target is _OUT.stored and mask == _OUT.mask and value >> _OUT.low in self.ports
            case _:
                return False


def columns(*, stats: bool) -> tuple[Column, ...]:
    """The columns of `rows`. None folds: one flow is one line, on any terminal."""
    counters = [Column(title, "dim", right=True) for title in ("PACKETS", "BYTES", "AGE")] if stats else []
    return (
        Column("NODE", "bold"),
        Column("TABLE", "cyan"),
        Column("PRIO", "dim", right=True),
        *counters,
        Column("OWNER", "green"),
        Column("MATCH"),
        Column("ACTIONS", action_style),
    )


def rows(found: Iterable[Seen], names: Names, *, stats: bool, node: bool) -> Iterator[Row]:
    """One row a flow, in words. `node`: say whose it is."""
    for each in found:
        words = named(each.flow, names)
        counters = (str(each.packets), str(each.bytes), duration(each.age)) if stats else ()
        where = each.node if node else ""
        yield Row((where, words.table, words.priority, *counters, words.owner, words.match, words.actions))


def raw(each: Seen, *, stats: bool) -> str:
    """A flow as ovs-ofctl writes it. With counters, as in its dumps: `add-flows` takes and ignores them."""
    text = ofctl(each.flow)
    if not stats:
        return text
    first, _, rest = text.partition(",")
    return f"{first},duration={each.age:.3f}s,n_packets={each.packets},n_bytes={each.bytes},{rest}"


_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def duration(seconds: float) -> str:
    """`42s`, `4m10s`, `3h5m`, `2d4h`: the two largest units."""
    rest = int(seconds)
    for at, (size, unit) in enumerate(_UNITS[:-1]):
        if rest >= size:
            smaller, name = _UNITS[at + 1]
            below = rest % size // smaller
            return f"{rest // size}{unit}" + (f"{below}{name}" if below else "")
    return f"{rest}s"


def action_style(actions: str) -> str:
    """The style of an ACTIONS cell."""
    return "red" if actions == "drop" else "yellow"
