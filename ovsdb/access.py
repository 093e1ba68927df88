"""The rows by which Open vSwitch speaks TLS, and by which its database is reached from elsewhere: SSL and Manager.

Open vSwitch has one SSL row, for its connections to controllers and for the database's own; the agent has it.
Managers may be several: the agent's carries its mark, and those of others are left alone and named. Source:
ovs-vswitchd.conf.db(5).
"""

from dataclasses import dataclass
from typing import Final

from ovsdb.rows import NODE
from ovsdb.txn import Handle, Txn

_LOCAL: Final = ("unix:", "punix:", "ssl:", "pssl:")
_LOOPBACK: Final = ("127.", "[::1]")


@dataclass(frozen=True, slots=True)
class TlsPaths:
    """Files as Open vSwitch sees them."""

    private_key: str
    certificate: str
    ca_cert: str


@dataclass(frozen=True, slots=True)
class Access:
    """What the rows shall say: `tls` None and `listen` "" for neither. `listen` is a Manager's target, such as
    `pssl:6640:192.0.2.1`; None leaves it as it is. `node` marks the rows as this node's agent's."""

    node: str
    tls: TlsPaths | None = None
    listen: str | None = ""


def ensure_access(txn: Txn, access: Access) -> tuple[str, ...]:
    """Compose the rows; the targets of others by which the database can be had without TLS from elsewhere."""
    _ensure_ssl(txn, access)
    if access.listen is not None:
        _ensure_manager(txn, access.listen, access.node)
    others = [txn.get(row, "target") for row in _managers(txn) if not _is_ours(txn, row)]
    return tuple(sorted(target for target in others if is_open(target)))


def is_open(target: str) -> bool:
    """Whether a Manager of this target gives the database to the network without TLS.

    `ptcp:PORT` without an address listens on all of them; what `tcp:` connects to may do as it likes as well.
    """
    if target.startswith(_LOCAL):
        return False
    kind, _, rest = target.partition(":")
    host = rest.partition(":")[2] if kind == "ptcp" else rest
    return not host.startswith(_LOOPBACK)


def _ensure_ssl(txn: Txn, access: Access) -> None:
    row = txn.get(txn.root(), "ssl")
    if access.tls is None:
        if row is not None and _is_ours(txn, row):
            txn.update(txn.root(), {"ssl": None})
        return
    columns = {
        "private_key": access.tls.private_key,
        "certificate": access.tls.certificate,
        "ca_cert": access.tls.ca_cert,
        # Else Open vSwitch would take its authority from whoever connects first.
        "bootstrap_ca_cert": False,
    }
    if row is None:
        made = txn.insert("SSL", {**columns, "external_ids": {NODE: access.node}})
        txn.update(txn.root(), {"ssl": made})
        return
    txn.update(row, columns)
    txn.set_keys(row, "external_ids", {NODE: access.node})


def _ensure_manager(txn: Txn, listen: str, node: str) -> None:
    """One row with our mark. A row of others with this very target is taken over: there can be one only."""
    for row in _managers(txn):
        if txn.get(row, "target") == listen:
            txn.set_keys(row, "external_ids", {NODE: node})
            listen = ""
        elif _is_ours(txn, row):
            txn.unlink(txn.root(), "manager_options", row)
    if listen:
        row = txn.insert("Manager", {"target": listen, "external_ids": {NODE: node}})
        txn.link(txn.root(), "manager_options", row)


def _managers(txn: Txn) -> list[Handle]:
    return list(txn.get(txn.root(), "manager_options"))


def _is_ours(txn: Txn, row: Handle) -> bool:
    return NODE in txn.get(row, "external_ids")
