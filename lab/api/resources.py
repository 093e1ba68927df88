"""The resources the API serves: what they are called, where they live, how they print and how their lists merge.

The kinds of a fresh lab are in `builtin`. Any other can be added at any time with `Registry.add`; a
CustomResourceDefinition posted to the API becomes resources through `crd.from_crd`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from lab.api import printers
from lab.api.errors import Obj
from lab.api.printers import Column

# A resource whatever its version: all versions of one resource are the same stored objects.
GroupResource = tuple[str, str]
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

_META_KEYS = {"metadata.finalizers": "", "metadata.ownerReferences": "uid"}


def _unchanged(obj: Obj) -> Obj:
    return obj


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the API.

    `status`: has the /status subresource, so writes to the object itself leave its status alone.
    `graceful`: a delete with a grace period marks the object, and its node deletes it for good (pods).
    `returns_deleted`: the answer to a delete is the object, not a Status (clients decode it as one or the other).
    `keep`: how many objects there may be before the oldest makes room (0: any number; events, which nobody deletes).
    `fields`: what field selectors may name besides metadata.name and metadata.namespace.
    `merge_keys`: see `strategic`. `defaults`: completes or refuses an object on its way in (its argument stays as
    it is). `first_status`: the status of a new object whatever was posted; None keeps what was posted.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = False
    graceful: bool = False
    returns_deleted: bool = False
    keep: int = 0
    columns: tuple[Column, ...] = printers.DEFAULT_COLUMNS
    fields: frozenset[str] = frozenset()
    merge_keys: Mapping[str, str] = field(default_factory=dict)
    defaults: Callable[[Obj], Obj] = _unchanged
    first_status: Obj | None = None
    singular: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> GroupResource:
        return (self.group, self.plural)

    @property
    def title(self) -> str:
        """How messages name it, as in `leases.coordination.k8s.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def list_keys(self) -> Mapping[str, str]:
        return {**_META_KEYS, **self.merge_keys}

    def shown(self, obj: Obj) -> Obj:
        """The object as this version presents it: versions differ by their apiVersion only."""
        return obj if obj["apiVersion"] == self.api_version else obj | {"apiVersion": self.api_version}

    def discovery(self) -> list[Obj]:
        """The APIResource entries (meta/v1) of the resource and its subresource."""
        entry: Obj = {"name": self.plural, "singularName": self.singular or self.kind.lower()}
        entry |= {"namespaced": self.namespaced, "kind": self.kind, "verbs": list(VERBS)}
        entry |= {"shortNames": list(self.short_names)} if self.short_names else {}
        entry |= {"categories": list(self.categories)} if self.categories else {}
        status = {"name": f"{self.plural}/status", "singularName": "", "namespaced": self.namespaced}
        status |= {"kind": self.kind, "verbs": ["get", "patch", "update"]}
        return [entry, status] if self.status else [entry]


class Registry:
    """The resources being served, in the order they were added; the first version of a group is its preferred one."""

    def __init__(self, *resources: Resource) -> None:
        self._resources = {(r.group, r.version, r.plural): r for r in resources}

    def __iter__(self) -> Iterator[Resource]:
        return iter(tuple(self._resources.values()))

    def add(self, resource: Resource) -> None:
        """Serves a resource from now on, in place of one with the same group, version and plural."""
        self._resources[resource.group, resource.version, resource.plural] = resource

    def remove(self, key: GroupResource) -> None:
        """Stops serving every version of a resource; removing one that is not served is nothing."""
        self._resources = {at: r for at, r in self._resources.items() if r.key != key}

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._resources.get((group, version, plural))

    def group_versions(self) -> dict[str, list[str]]:
        """Every named group with its versions (the core group "" is not among them)."""
        found: dict[str, list[str]] = {}
        for group, version, _ in self._resources:
            if group and version not in found.setdefault(group, []):
                found[group].append(version)
        return found

    def of(self, group: str, version: str) -> list[Resource]:
        return [r for r in self._resources.values() if (r.group, r.version) == (group, version)]
