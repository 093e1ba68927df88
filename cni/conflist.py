"""What a node needs for its runtime to call Weft: the executable and the network configuration list.

The list goes in last: its presence is what makes a runtime report the node's network as ready.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TEMPLATE = Path(__file__).with_name("10-weft.conflist.json")
CONFLIST_NAME = "10-weft.conflist"  # runtimes take the first in lexical order
PLUGIN_NAME = "weft"


@dataclass(frozen=True, slots=True)
class Installed:
    """Where the files are, and whether this call wrote them (not when they were right already)."""

    plugin: Path
    conflist: Path
    changed: bool


def render_conflist(network: str = "weft", chained: Sequence[Mapping[str, object]] = ()) -> bytes:
    """The configuration list: Weft first, then the `chained` plugins' configurations.

    It says 1.0.0 for libcni before 1.2, which ignores `cniVersions` and refuses results of 1.1.0.
    """
    conflist = json.loads(TEMPLATE.read_text())
    conflist["name"] = network
    conflist["plugins"] += [dict(plugin) for plugin in chained]
    return json.dumps(conflist, indent=2).encode() + b"\n"


def install(binary: Path, conflist: bytes, bin_dir: Path, conf_dir: Path) -> Installed:
    """Puts executable and list in place; each appears whole or not at all. Errors: OSError."""
    plugin, target = bin_dir / PLUGIN_NAME, conf_dir / CONFLIST_NAME
    changed = [place(plugin, binary.read_bytes(), 0o755), place(target, conflist, 0o644)]
    return Installed(plugin, target, any(changed))


def uninstall(bin_dir: Path, conf_dir: Path) -> None:
    """Takes both away, the list first. Twice is as good as once."""
    (conf_dir / CONFLIST_NAME).unlink(missing_ok=True)
    (bin_dir / PLUGIN_NAME).unlink(missing_ok=True)


def place(target: Path, data: bytes, mode: int) -> bool:
    """Writes `data` to a file beside `target`, then renames it; False when it was so already. Errors: OSError.

    In the same directory, because containerd does not see a file that is created, only one that is renamed
    there; with a name no runtime loads; and by rename, because a running executable cannot be written to.
    """
    if _same(target, data, mode):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.weft-new")
    draft.unlink(missing_ok=True)  # of an installation that was killed
    try:
        _write(draft, data, mode)
        draft.rename(target)
        _sync(target.parent)
    finally:
        draft.unlink(missing_ok=True)
    return True


def _same(target: Path, data: bytes, mode: int) -> bool:
    try:
        return target.stat().st_mode & 0o777 == mode and target.read_bytes() == data
    except FileNotFoundError:
        return False


def _write(path: Path, data: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    """So that a power cut does not undo the renaming."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
