"""The configuration list and its installation (R2, R3, R9)."""

import json
import os
import re
from pathlib import Path

import pytest

from cni.conflist import CONFLIST_NAME, install, render_conflist, uninstall


def binary(tmp_path: Path, content: bytes = b"\x7fELF one") -> Path:
    path = tmp_path / "build"
    path.write_bytes(content)
    return path


def listing(*directories: Path) -> list[str]:
    return sorted(entry.name for directory in directories for entry in directory.iterdir())


def test_r9_the_list_works_with_old_and_new_libcni() -> None:
    conflist = json.loads(render_conflist())
    assert conflist["cniVersion"] == "1.0.0"
    assert conflist["cniVersions"] == ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]
    assert conflist["name"] == "weft"
    assert [plugin["type"] for plugin in conflist["plugins"]] == ["weft"]


def test_the_list_with_portmap_in_the_docs_is_wefts_own_with_portmap_behind() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cni.md").read_text()
    (block,) = re.findall(r"```json\n(\{\n.*?)```", page, re.DOTALL)
    own, shown = json.loads(render_conflist()), json.loads(block)
    behind = {"type": "portmap", "capabilities": {"portMappings": True}}
    assert shown == {**own, "plugins": [*own["plugins"], behind]}


def test_other_plugins_are_chained_behind_weft() -> None:
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    conflist = json.loads(render_conflist("blue", [portmap]))
    assert conflist["name"] == "blue"
    assert [plugin["type"] for plugin in conflist["plugins"]] == ["weft", "portmap"]
    assert conflist["plugins"][1] == portmap


def test_c14_c44_the_list_declares_the_capabilities_that_weft_has() -> None:
    (weft,) = json.loads(render_conflist())["plugins"]
    assert weft["capabilities"] == dict.fromkeys(
        ("ips", "mac", "dns", "bandwidth", "ipRanges", "io.kubernetes.cri.pod-annotations"), True
    )


def test_r3_files_appear_by_rename_in_directories_that_may_be_missing(tmp_path: Path) -> None:
    bin_dir, conf_dir = tmp_path / "opt/cni/bin", tmp_path / "etc/cni/net.d"
    installed = install(binary(tmp_path), render_conflist(), bin_dir, conf_dir)
    assert installed.changed
    assert listing(bin_dir, conf_dir) == [CONFLIST_NAME, "weft"]
    assert installed.plugin.read_bytes() == b"\x7fELF one"
    assert os.access(installed.plugin, os.X_OK)
    assert installed.conflist.stat().st_mode & 0o777 == 0o644


def test_what_is_right_already_is_not_touched(tmp_path: Path) -> None:
    first = install(binary(tmp_path), render_conflist(), tmp_path / "b", tmp_path / "c")
    before = first.plugin.stat().st_ino, first.conflist.stat().st_ino
    again = install(binary(tmp_path), render_conflist(), tmp_path / "b", tmp_path / "c")
    assert not again.changed
    assert (again.plugin.stat().st_ino, again.conflist.stat().st_ino) == before


def test_an_upgrade_replaces_the_file_and_spares_the_one_that_runs(tmp_path: Path) -> None:
    first = install(binary(tmp_path), render_conflist(), tmp_path / "b", tmp_path / "c")
    with first.plugin.open("rb") as running:
        install(binary(tmp_path, b"\x7fELF two"), render_conflist(), tmp_path / "b", tmp_path / "c")
        assert running.read() == b"\x7fELF one"
    assert first.plugin.read_bytes() == b"\x7fELF two"


def test_a_mode_that_was_changed_is_repaired(tmp_path: Path) -> None:
    first = install(binary(tmp_path), render_conflist(), tmp_path / "b", tmp_path / "c")
    first.plugin.chmod(0o600)
    assert install(binary(tmp_path), render_conflist(), tmp_path / "b", tmp_path / "c").changed
    assert os.access(first.plugin, os.X_OK)


def test_what_a_killed_installation_left_is_no_hindrance_and_no_configuration(tmp_path: Path) -> None:
    """R2: runtimes load *.conf, *.conflist and *.json."""
    conf_dir = tmp_path / "c"
    conf_dir.mkdir()
    draft = conf_dir / f".{CONFLIST_NAME}.weft-new"
    draft.write_text("{")
    assert draft.suffix not in (".conf", ".conflist", ".json")
    install(binary(tmp_path), render_conflist(), tmp_path / "b", conf_dir)
    assert listing(conf_dir) == [CONFLIST_NAME]


def test_a_failure_leaves_no_draft(tmp_path: Path) -> None:
    blocked = tmp_path / "b" / "weft"
    blocked.mkdir(parents=True)
    with pytest.raises(OSError):
        install(binary(tmp_path), render_conflist(), tmp_path / "b", tmp_path / "c")
    assert listing(tmp_path / "b") == ["weft"]


def test_uninstalling_twice_is_as_good_as_once(tmp_path: Path) -> None:
    install(binary(tmp_path), render_conflist(), tmp_path / "b", tmp_path / "c")
    for _ in range(2):
        uninstall(tmp_path / "b", tmp_path / "c")
        assert listing(tmp_path / "b", tmp_path / "c") == []
