"""`weft-install`, which the agent's init container runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cni import install


class Host:
    """A node's directories, and what an image brings."""

    def __init__(self, root: Path) -> None:
        self.bin_dir, self.conf_dir = root / "opt/cni/bin", root / "etc/cni/net.d"
        self.relay, self.secret, self.tls = root / "image/weft", root / "secret", root / "tls"
        for directory in (self.bin_dir, self.conf_dir, self.relay.parent, self.secret, self.tls):
            directory.mkdir(parents=True)
        self.relay.write_bytes(b"first")
        for name in install.TLS_FILES:
            (self.secret / name).write_text(name)

    def run(self, *more: str) -> int:
        directories = ("--bin-dir", str(self.bin_dir), "--conf-dir", str(self.conf_dir), "--relay", str(self.relay))
        return install.main((*directories, *more))

    def files(self) -> dict[str, int]:
        """Their modes."""
        found = [path for where in (self.bin_dir, self.conf_dir, self.tls) for path in where.glob("*")]
        return {path.name: path.stat().st_mode & 0o777 for path in found}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_node_is_given_the_executable_and_the_list(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert host.run() == 0
    assert host.files() == {"weft": 0o755, "10-weft.conflist": 0o644}
    assert json.loads((host.conf_dir / "10-weft.conflist").read_text())["plugins"][0]["type"] == "weft"
    assert "installed" in capsys.readouterr().out


def test_installing_again_replaces_only_what_has_changed(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.run()
    before = (host.bin_dir / "weft").stat().st_ino
    assert host.run() == 0
    assert (host.bin_dir / "weft").stat().st_ino == before
    assert "right already" in capsys.readouterr().out
    host.relay.write_bytes(b"second")
    host.run()
    assert (host.bin_dir / "weft").read_bytes() == b"second"


def test_a_list_of_ones_own_is_installed_as_it_is(host: Host, tmp_path: Path) -> None:
    own = tmp_path / "own.conflist"
    own.write_text('{"name": "weft", "plugins": []}')
    assert host.run("--conflist", str(own)) == 0
    assert (host.conf_dir / "10-weft.conflist").read_text() == own.read_text()


def test_an_open_vswitch_of_the_node_is_given_copies_of_the_certificates(host: Host) -> None:
    assert host.run("--tls-from", str(host.secret), "--tls-to", str(host.tls)) == 0
    copies = {"ca.crt": 0o644, "tls.crt": 0o644, "tls.key": 0o600}
    assert host.files() == {"weft": 0o755, "10-weft.conflist": 0o644, **copies}
    assert (host.tls / "tls.key").read_text() == "tls.key"


def test_removing_takes_all_of_it_and_twice_equals_once(host: Host) -> None:
    host.run("--tls-from", str(host.secret), "--tls-to", str(host.tls))
    for _ in range(2):
        assert host.run("--remove", "--tls-to", str(host.tls)) == 0
        assert host.files() == {}


def test_a_directory_that_is_missing_is_named_and_nothing_is_written(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.conf_dir.rmdir()
    assert host.run() == 1
    said = capsys.readouterr().err
    assert f"{host.conf_dir}: no such directory" in said
    assert "is it mounted into this container" in said
    assert not host.conf_dir.exists()
    assert host.files() == {}


def test_a_directory_that_cannot_be_written_is_named(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    (host.bin_dir / "weft").mkdir()  # what root cannot replace by a file, either
    assert host.run() == 1
    said = capsys.readouterr().err
    assert str(host.bin_dir / "weft") in said
    assert "may the container read and write it" in said


def test_a_missing_executable_is_named(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.relay.unlink()
    assert host.run() == 1
    assert f"{host.relay}: No such file" in capsys.readouterr().err


def test_what_a_killed_installation_left_is_replaced(host: Host) -> None:
    (host.bin_dir / ".weft.weft-new").write_bytes(b"fir")
    assert host.run() == 0
    assert host.files() == {"weft": 0o755, "10-weft.conflist": 0o644}


def test_certificates_without_a_place_for_the_copies_are_refused(host: Host) -> None:
    with pytest.raises(SystemExit):
        host.run("--tls-from", str(host.secret))
    assert host.files() == {}
