"""A bridge with the ports of `openflow.example` on a private Open vSwitch, an OpenFlow connection to it that sends
and reads plain bytes, and `ofproto/trace` with its answer taken apart."""

import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ovs_fixture import PrivateOvs, private_ovs

from openflow import codec, example
from openflow.codec import Change
from openflow.flow import Flow

BRIDGE = "br-int"
OWN_TUNNEL_IP, PEER_MAC = "192.0.2.1", "0e:00:00:00:aa:02"
WEB, DB = "web", "db"
_PORTS = {
    example.BETA.port: (example.TUNNEL_PORT, "type=geneve", "options:remote_ip=flow", "options:key=flow"),
    example.ALPHA.port: (example.GATEWAY_PORT, "type=internal"),
    example.WEB.port: (WEB, "type=internal"),
    example.DB.port: (DB, "type=internal"),
}
_HELLO = bytes.fromhex("0600000800000001")
_ERROR, _ECHO_REQUEST = 1, 2


class Connection:
    """OpenFlow 1.5 over the bridge's management socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(str(path))
        self._socket.sendall(_HELLO)
        self._receive()

    def close(self) -> None:
        self._socket.close()

    def apply(self, change: Change) -> list[bytes]:
        """Send a change as one bundle and wait for its end; the errors that the switch answered."""
        messages = codec.bundle(1, 100, change)
        return self.exchange(codec.bundle_open(1, 10) + b"".join(messages) + codec.bundle_commit(1, 11))

    def exchange(self, messages: bytes) -> list[bytes]:
        """Send messages and a barrier, and wait for its answer; the errors that the switch answered."""
        self._socket.sendall(messages)
        return self._until(codec.barrier(12))

    def answer(self, message: bytes, kind: int) -> bytes:
        """Send a message; the next message of this type."""
        self._socket.sendall(message)
        for received in self._messages():
            assert received[1] != _ERROR, received.hex()
            if received[1] == kind:
                return received
        raise AssertionError("no answer of this type")

    def add(self, flows: Iterable[Flow]) -> list[bytes]:
        return self.apply(Change(add=tuple(map(codec.encode, flows))))

    def dump(self) -> dict[bytes, bytes]:
        """Every flow that the switch holds: key to body."""
        return {record.flow.key: record.flow.body for record in self.records()}

    def records(self) -> list[codec.Record]:
        return [record for part in self.parts(codec.dump_request(13)) for record in codec.dump_records(part)]

    def parts(self, request: bytes) -> list[bytes]:
        """Send a multipart request; all parts of its answer."""
        self._socket.sendall(request)
        found: list[bytes] = []
        for message in self._messages():
            found.append(message)
            if not codec.dump_more(message):
                return found
        raise AssertionError("the dump has no end")

    def _until(self, barrier: bytes) -> list[bytes]:
        self._socket.sendall(barrier)
        errors = []
        for message in self._messages():
            if message[4:8] == barrier[4:8]:
                return errors
            if message[1] == _ERROR:
                errors.append(message)
        raise AssertionError("no answer to the barrier")

    def _messages(self) -> Iterator[bytes]:
        for _ in range(10_000):
            message = self._receive()
            if message[1] != _ECHO_REQUEST:
                yield message

    def _receive(self) -> bytes:
        head = self._exactly(8)
        return head + self._exactly(int.from_bytes(head[2:4], "big") - 8)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self._socket.recv(size - len(data))
            if not chunk:
                raise ConnectionError("the switch closed the connection")
            data += chunk
        return data


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a traced packet went. `ports` are OpenFlow numbers, `fields` the packet as it was at the end."""

    text: str
    ports: tuple[int, ...]
    fields: dict[str, str]
    tables: tuple[int, ...]

    @property
    def dropped(self) -> bool:
        return not self.ports

    def has(self, **fields: str | int) -> bool:
        return all(self.fields.get(name) == str(value) for name, value in fields.items())


@dataclass(frozen=True, slots=True)
class Switch:
    """The bridge and a connection to it."""

    ovs: PrivateOvs
    connection: Connection

    def clear(self) -> None:
        """Remove every flow."""
        self.ovs.ofctl("-O", "OpenFlow15", "del-flows", BRIDGE)

    def trace(self, packet: str, *states: str) -> Outcome:
        """Follow a packet; each pass through conntrack finds the next of these states (default: trk,new)."""
        passes = [word for state in states for word in ("--ct-next", state)]
        return _outcome(self.ovs.appctl("ofproto/trace", BRIDGE, packet, *passes))


# Open vSwitch never sends a packet out of the port that it came by, unless told so by IN_PORT.
_SENT = re.compile(r"-> output port is (\d+)\n(?! *>> skipping output to input port)")


def _outcome(text: str) -> Outcome:
    finals = [line for line in text.splitlines() if line.startswith("Final flow: ")]
    last = next((line for line in reversed(text.splitlines()) if line.startswith("Flow: ")), "")
    # A packet that nothing changed ends as it began.
    final = last if finals[-1].endswith("unchanged") else finals[-1]
    fields = dict(pair.split("=", 1) for pair in final.split(" ", 2)[-1].split(",") if "=" in pair)
    ports = [int(number) for number in _SENT.findall(text)]
    if re.search(r"^ +IN_PORT$", text, re.MULTILINE):
        ports.append(int(fields["in_port"]))
    tables = tuple(int(number) for number in re.findall(r"^ ?(\d+)\. ", text, re.MULTILINE))
    return Outcome(text, tuple(ports), fields, tables)


@contextmanager
def example_switch(root: Path) -> Iterator[Switch]:
    """A bridge with the ports of node alpha and an underlay on which beta can be reached."""
    with private_ovs(root) as ovs:
        _underlay(ovs)
        ovs.vsctl(
            "add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, "datapath_type=netdev", "protocols=OpenFlow15",
            "fail_mode=secure",
        )  # fmt: skip
        for number, (name, *settings) in _PORTS.items():
            wanted = f"ofport_request={int(number)}"
            ovs.vsctl("add-port", BRIDGE, name, "--", "set", "Interface", name, wanted, *settings)
        connection = Connection(ovs.root / f"{BRIDGE}.mgmt")
        try:
            yield Switch(ovs, connection)
        finally:
            connection.close()


def _underlay(ovs: PrivateOvs) -> None:
    ovs.vsctl("add-br", "br-phy", "--", "set", "Bridge", "br-phy", "datapath_type=netdev")
    ovs.ip("address", "add", f"{OWN_TUNNEL_IP}/24", "dev", "br-phy")
    ovs.ip("link", "set", "br-phy", "up")
    ovs.appctl("tnl/neigh/set", "br-phy", str(example.BETA.tunnel_ip), PEER_MAC)
