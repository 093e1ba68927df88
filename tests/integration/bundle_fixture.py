"""Support bundles, unpacked."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weftctl_fixture import weftctl


@dataclass(frozen=True)
class Bundle:
    """The files of an archive by name, without the directory that all of them are in."""

    files: dict[str, bytes]
    err: str

    def text(self, name: str) -> str:
        return self.files[name].decode()

    def json(self, name: str) -> Any:
        return json.loads(self.files[name])

    @property
    def index(self) -> dict[str, Any]:
        return dict(self.json("index.json"))

    def under(self, directory: str) -> set[str]:
        return {name.removeprefix(f"{directory}/") for name in self.files if name.startswith(f"{directory}/")}

    def having(self, words: str) -> list[str]:
        """Names of the files that have these words in them, in whatever case."""
        folded = words.lower().encode()
        return sorted(name for name, data in self.files.items() if folded in data.lower())


def bundle(path: Path, *arguments: str) -> Bundle:
    """Have weftctl write one; it must succeed."""
    ran = weftctl("support-bundle", "--file", str(path), *arguments)
    assert (ran.status, ran.out) == (0, f"{path}\n"), ran.err
    return unpack(path, ran.err)


def unpack(path: Path, err: str = "") -> Bundle:
    root = path.name.removesuffix(".tar.gz")
    found = {}
    with tarfile.open(path, "r:gz") as tar:
        for member in tar:
            assert member.isfile()
            assert member.name.startswith(f"{root}/")
            file = tar.extractfile(member)
            assert file is not None
            found[member.name.removeprefix(f"{root}/")] = file.read()
    return Bundle(found, err)
