"""Random calls and random answers, under AddressSanitizer and UBSan. Inputs come from a fixed seed."""

import random
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cni_relay_fixture import Agent, Relay, Serve, build, error, receive

FUZZ_INPUTS = 2000


class Fuzz:
    """Random inputs from a fixed seed: grammar-like pieces, damaged, so that every branch is met."""

    PIECES = (
        *(b'"cniVersion"', b'"cniVersion":"', b"1.1.0", b"0." * 9, b'"', b":", b" ", b"{", b"}", b"\\", b"\x00"),
        *(b"\xff", b"\n", b"\x00{}", b"\x01{}", b"{}\n", b"CNI_", b"=", b"a" * 300),
    )

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def data(self, most: int = 12) -> bytes:
        kind = self.random.random()
        if kind < 0.1:
            return self.random.randbytes(self.random.choice((1, 100, 70_000)))
        return b"".join(self.random.choices(self.PIECES, k=self.random.randrange(most)))

    def text(self) -> str:
        return self.data(4).replace(b"\0", b"?")[:120_000].decode(errors="surrogateescape")

    def env(self) -> dict[str, str]:
        count = self.random.choice((0, 0, 1, 5, 62, 63, 64, 65, 200))
        env = {f"CNI_{i}" + self.text().replace("=", "_")[:200]: self.text() for i in range(count)}
        if self.random.random() < 0.1:
            env["WEFT_CNI_SOCKET"] = self.text()
        return env

    def command(self) -> str:
        return self.random.choice(("ADD", "DEL", "CHECK", "GC", "STATUS", "ADD", self.text()))


def fuzzed_agent(seed: int) -> Serve:
    fuzz = Fuzz(seed)

    def serve(connection: socket.socket) -> None:
        if fuzz.random.random() < 0.8:
            receive(connection)
        connection.sendall(fuzz.data())

    return serve


def check_fuzzed(done: subprocess.CompletedProcess[bytes]) -> None:
    if done.returncode == 1 and done.stdout.startswith(b'{"cniVersion":"') and b'"weft: ' in done.stdout:
        error(done)


@pytest.mark.timeout(300)
def test_random_calls_and_answers_find_no_memory_error(tmp_path: Path) -> None:
    relay = Relay(build(tmp_path) / "weft-asan", tmp_path / "cni.sock")
    fuzz = Fuzz(11)
    calls = [(fuzz.command(), fuzz.data(), fuzz.env()) for _ in range(FUZZ_INPUTS)]
    with Agent(relay.socket, fuzzed_agent(7)), ThreadPoolExecutor(2) as pool:
        for done in pool.map(lambda call: relay(*call), calls):
            check_fuzzed(done)
