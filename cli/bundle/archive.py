"""The archive: texts by name in one .tar.gz, without their secrets, and an index of what is in it and what is not."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from cli.bundle import redact
from cli.errors import CliError

INDEX = "index.json"


class Archive:
    """An archive that is being written. Everything in it has gone through `redact`: there is no other way in."""

    def __init__(self, tar: tarfile.TarFile, root: str, now: datetime) -> None:
        self._tar = tar
        self._root = root
        self._now = now
        self._files: dict[str, int] = {}
        self._missing: dict[str, str] = {}

    def add(self, name: str, text: str) -> None:
        """A text, such as a log."""
        self._write(name, redact.text(text).encode())

    def add_json(self, name: str, value: Any) -> None:
        """A JSON value."""
        self.add(name, json.dumps(redact.tree(value), indent=1, default=str, ensure_ascii=False) + "\n")

    def miss(self, name: str, why: str) -> None:
        """Say in the index that something could not be had, and why. "" for `name`: the whole."""
        self._missing[name] = redact.text(why)

    def add_index(self, about: Mapping[str, Any]) -> None:
        """The index; the last thing to be written. `about` goes first."""
        self.add_json(INDEX, {**about, "missing": self._missing, "files": self._files})

    def _write(self, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(f"{self._root}/{name}")
        info.size, info.mode, info.mtime = len(data), 0o600, int(self._now.timestamp())
        self._tar.addfile(info, io.BytesIO(data))
        self._files[name] = len(data)

    @property
    def missing(self) -> Mapping[str, str]:
        """What could not be had so far."""
        return self._missing


@contextmanager
def writing(path: Path, now: datetime) -> Iterator[Archive]:
    """A new archive at `path`, for nobody's eyes but its owner's; it is there when it is whole. CliError: there is a
    file already, or it cannot be written."""
    if path.exists():
        raise CliError(f"{path} exists already; give another --file")
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with (
            open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file,
            tarfile.open(fileobj=file, mode="w:gz") as tar,
        ):
            yield Archive(tar, path.name.removesuffix(".tar.gz"), now)
        unfinished.rename(path)
    except OSError as e:
        raise CliError(f"cannot write {path}: {e.strerror or e}") from e
    finally:
        unfinished.unlink(missing_ok=True)
