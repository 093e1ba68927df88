"""An archive takes secrets out of whatever is put in, and is there only when it is whole."""

from __future__ import annotations

import json
import tarfile
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest

from cli.bundle.archive import writing
from cli.errors import CliError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
S = "s3cr3t"


def read(path: Path) -> dict[str, str]:
    with tarfile.open(path, "r:gz") as tar:
        members = tar.getmembers()
        assert {each.mtime for each in members} == {int(NOW.timestamp())}
        files = {each.name: tar.extractfile(each) for each in members}
        return {name: file.read().decode() for name, file in files.items() if file is not None}


def test_every_way_in_takes_secrets_out(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    with writing(path, NOW) as archive:
        archive.add("a/log.txt", f"token={S}\n")
        archive.add_json("b.json", {"password": S, "n": [f"https://me:{S}@x"], "ip": ip_address("::1")})
        archive.miss("c", f"cannot log in: password={S}")
        archive.add_index({"of": f"secret: {S}"})
    files = read(path)
    assert S not in json.dumps(files)
    assert files["b/a/log.txt"] == "token=REDACTED\n"
    assert json.loads(files["b/b.json"])["ip"] == "::1"
    index = json.loads(files["b/index.json"])
    assert index["missing"] == {"c": "cannot log in: password=REDACTED"}
    assert index["files"] == {name: len(files[f"b/{name}"]) for name in ("a/log.txt", "b.json")}


def test_what_is_not_finished_is_not_there(tmp_path: Path) -> None:
    def interrupted() -> None:
        with writing(tmp_path / "b.tar.gz", NOW) as archive:
            archive.add("a", "text")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    path.write_text("precious")
    with pytest.raises(CliError, match="exists already"), writing(path, NOW):
        pass
    assert path.read_text() == "precious"


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    with writing(tmp_path / "b.tar.gz", NOW) as archive:
        (unfinished,) = tmp_path.iterdir()
        assert unfinished.stat().st_mode & 0o077 == 0
        archive.add("a", "text")
    assert (tmp_path / "b.tar.gz").stat().st_mode & 0o077 == 0
