"""The flows a node's switch should have, and what changed since the switch was last told."""

from collections import Counter
from collections.abc import Iterable, Mapping, Set

from controller.owners import Owner
from openflow.codec import Change, Encoded
from openflow.render import what


class PlanError(ValueError):
    """Two owners, or one owner twice, want a flow under one key: whichever came later would silently win."""


def settle(
    flows: Mapping[Owner, Iterable[Encoded]],
) -> tuple[dict[Owner, tuple[Encoded, ...]], tuple[str, ...]]:
    """Who gets flows when keys collide, and what to say of the others: owners come in the order of their names, and
    one that wants a key of an earlier one gets no flows at all. Who came first in time does not matter."""
    taken: dict[bytes, Owner] = {}
    settled: dict[Owner, tuple[Encoded, ...]] = {}
    losers = []
    for owner, each in sorted(flows.items(), key=_owner_order):
        wanted = tuple(each)
        keys = [flow.key for flow in wanted]
        contested = next((key for place, key in enumerate(keys) if key in taken or key in keys[:place]), None)
        if contested is None:
            taken |= dict.fromkeys(keys, owner)
            settled[owner] = wanted
        else:
            rival = taken.get(contested, owner)
            settled[owner] = ()
            losers.append(f"{_name(owner)} gets no flows: {_name(rival)} has one for {what(contested)}")
    return settled, tuple(losers)


class NodePlan:
    """Desired flows of one switch by owner and by key; remembers which keys changed until they are taken.

    Flows that the switch has refused stay desired, but are left out of what is taken until they are forgiven.
    """

    def __init__(self) -> None:
        self.desired: dict[bytes, bytes] = {}
        self._by_owner: dict[Owner, tuple[Encoded, ...]] = {}
        self._before: dict[bytes, bytes | None] = {}
        self._refused: dict[bytes, bytes] = {}
        self._by_table: Counter[int] | None = None

    @property
    def by_table(self) -> Counter[int]:
        """Number of flows in each table."""
        if self._by_table is None:
            self._by_table = Counter([key[0] for key in self.desired])
        return self._by_table

    @property
    def owners(self) -> Set[Owner]:
        """Who has flows."""
        return self._by_owner.keys()

    def flows_of(self, owner: Owner) -> tuple[Encoded, ...]:
        """The flows that an owner has."""
        return self._by_owner.get(owner, ())

    @property
    def left_out(self) -> int:
        """Number of flows that are left out."""
        return sum(map(self._is_refused, self._refused))

    def refuse(self, flows: Iterable[Encoded]) -> None:
        """Leave out these very flows: the switch will not have them."""
        self._refused |= {flow.key: flow.body for flow in flows}

    def forgive(self) -> None:
        """Give the switch another chance with what it has refused."""
        self._refused = {}

    def holds_back(self, owner: Owner) -> bool:
        """Whether a flow of this owner is left out."""
        return any(self._is_refused(key) for key, _ in self._by_owner.get(owner, ()))

    def update(self, flows: Mapping[Owner, Iterable[Encoded]]) -> None:
        """Replace the flows of these owners. Raises PlanError, and leaves the plan as it was, when keys collide
        with each other or with another owner's."""
        fresh = {owner: tuple(each) for owner, each in flows.items()}
        self._check(fresh)
        self._by_table = None
        for owner in fresh:
            for key, _ in self._by_owner.pop(owner, ()):
                self._before.setdefault(key, self.desired[key])
                del self.desired[key]
        for owner, encoded in sorted(fresh.items(), key=_owner_order):
            if encoded:
                self._by_owner[owner] = encoded
            for key, body in encoded:
                self._before.setdefault(key, None)
                self.desired[key] = body

    def take_change(self) -> Change:
        """What a switch that has everything up to the last `take_change` still needs. It is taken only once."""
        return self._take(self._before)

    def difference(self, installed: Mapping[bytes, bytes]) -> Change:
        """What a switch that holds `installed` needs. Afterwards there is nothing left to take."""
        before: dict[bytes, bytes | None] = {
            key: installed.get(key) for key, body in self.desired.items() if installed.get(key) != body
        }
        return self._take(before | {key: body for key, body in installed.items() if key not in self.desired})

    def _take(self, before: Mapping[bytes, bytes | None]) -> Change:
        """The change from `before`, key → body or None for no flow, to what is desired."""
        self._before = {key: before[key] for key in before if self._is_refused(key)}
        wanted = {key: self.desired[key] for key in before if key in self.desired and key not in self._before}
        add = tuple(Encoded(key, wanted[key]) for key in sorted(wanted) if wanted[key] != before[key])
        gone = (key for key, body in before.items() if body is not None and key not in self.desired)
        return Change(add, tuple(sorted(gone)))

    def _is_refused(self, key: bytes) -> bool:
        return key in self._refused and self._refused[key] == self.desired.get(key)

    def _check(self, fresh: Mapping[Owner, tuple[Encoded, ...]]) -> None:
        freed = {key for owner in fresh for key, _ in self._by_owner.get(owner, ())}
        taken: set[bytes] = set()
        for owner, encoded in fresh.items():
            for key, _ in encoded:
                if key in taken or (key in self.desired and key not in freed):
                    raise PlanError(f"{_name(owner)}: there is a flow for {what(key)} already")
                taken.add(key)


def _name(owner: Owner) -> str:
    return f"{owner.kind.value} {owner.name}".strip()


def _owner_order(item: tuple[Owner, object]) -> tuple[str, str]:
    owner, _ = item
    return owner.kind.value, owner.name
