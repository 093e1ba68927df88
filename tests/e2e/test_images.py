"""The images that users build are what docs/images.md says."""

from __future__ import annotations

import json
import os
import re
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import images_fixture
import pytest
from images_fixture import Built, run, run_chrooted

from images.build import TARGETS, archive_of, mounted, name_of

pytestmark = pytest.mark.timeout(300)

_COMPILERS = ("cc", "gcc", "as", "ld", "make", "pip", "pip3")
_NOBODY = 65532


@pytest.fixture(scope="module", params=TARGETS)
def files(request: pytest.FixtureRequest, built: Built) -> Iterator[Path]:
    """Those of an image."""
    with mounted(name_of(request.param, built.version)) as root:
        yield root


@pytest.fixture(scope="module")
def agent(built: Built) -> Iterator[Path]:
    with mounted(name_of("agent", built.version)) as root:
        yield root


@pytest.fixture(scope="module")
def controller(built: Built) -> Iterator[Path]:
    with mounted(name_of("controller", built.version)) as root:
        yield root


def test_no_compiler_and_no_installer_is_in_the_result(files: Path) -> None:
    places = [files / each for each in ("bin", "usr/bin", "usr/sbin", "usr/local/bin", "opt/weft/bin")]
    assert not [place / name for place in places for name in _COMPILERS if os.path.lexists(place / name)]
    assert not list((files / "usr/include").glob("*.h"))
    assert not list((files / "opt/weft/lib").glob("python3*/site-packages/pip"))


def test_nothing_of_the_machine_that_built_it_is_in_the_result(files: Path) -> None:
    for name in ("etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/machine-id"):
        assert not (files / name).exists() or (files / name).read_text() == "", name
    assert not (files / "etc/pip.conf").exists()
    assert not list((files / "mnt").iterdir())
    assert not list((files / "run").glob("*.crt"))
    assert not [each for each in (files / "etc/apt").rglob("*.list") if socket.gethostname() in each.read_text()]


def test_debian_mends_what_is_in_it(files: Path) -> None:
    sources = (files / "etc/apt/sources.list").read_text()
    assert {"trixie", "trixie-updates", "trixie-security"} == set(re.findall(r"^deb \S+ (\S+) main$", sources, re.M))


def test_the_programs_start(files: Path, built: Built) -> None:
    daemon = "weft-agent" if (files / "usr/bin/ovs-start").exists() else "weft-controller"
    for program in (daemon, "weftctl"):
        assert program in run(files, program, "--help")
    assert run(files, "cat", "/etc/weft-version").strip() == built.version


def test_the_controller_is_nobody_in_particular(built: Built, controller: Path) -> None:
    assert built.inspect("controller")["config"]["User"] == f"{_NOBODY}:{_NOBODY}"
    assert "--openflow-listen" in run(controller, "weft-controller", "--help", user=_NOBODY)
    assert run(controller, "weftctl", "--version", user=_NOBODY).startswith("weftctl ")


def test_a_version_has_its_label_and_one_layer_of_its_own(built: Built) -> None:
    later = images_fixture.built("0.0.2-test")
    for target in TARGETS:
        one, other = built.inspect(target), later.inspect(target)
        labels = [each["config"]["Labels"]["org.opencontainers.image.version"] for each in (one, other)]
        assert labels == ["0.0.1-test", "0.0.2-test"]
        assert one["rootfs"]["diff_ids"][:-1] == other["rootfs"]["diff_ids"][:-1]


def test_both_images_have_the_same_layers_of_python_and_weft(built: Built) -> None:
    agent, controller = (built.inspect(target)["rootfs"]["diff_ids"] for target in ("agent", "controller"))
    assert set(controller[:-1]) <= set(agent)


def test_an_archive_says_under_which_name_a_runtime_keeps_it(built: Built) -> None:
    for target in TARGETS:
        with tarfile.open(archive_of(target, built.version)) as archive:
            manifest = archive.extractfile("manifest.json")
            assert manifest is not None
            assert json.load(manifest)[0]["RepoTags"] == [f"docker.io/weft/{target}:{built.version}"]


@pytest.mark.parametrize("target", TARGETS)
def test_the_bill_names_all_there_is(built: Built, target: str) -> None:
    bill = json.loads(archive_of(target, built.version).with_suffix(".spdx.json").read_text())
    listed = {
        each["externalRefs"][0]["referenceLocator"].partition("/")[0] + "/" + each["name"]: each["versionInfo"]
        for each in bill["packages"]
        if each["SPDXID"] != "SPDXRef-image"
    }
    with mounted(name_of(target, built.version)) as root:
        installed = run(root, "dpkg-query", "--show", "--showformat", "pkg:deb/${Package} ${Version}\n").split("\n")
        distributions = run(root, "python3", "-c", _DISTRIBUTIONS).split("\n")
    assert listed == dict(line.split() for line in [*installed, *distributions] if line)
    assert ("pkg:deb/openvswitch-switch" in listed) == (target == "agent")


def test_open_vswitch_is_of_debian_trixie(agent: Path) -> None:
    assert " 3.5." in run(agent, "ovs-vswitchd", "--version")


def test_a_node_is_given_weft_and_rid_of_it(agent: Path) -> None:
    for name in ("opt/cni/bin", "etc/cni/net.d"):
        (agent / name).mkdir(parents=True)
    refused = run_chrooted(agent, "weft-install", user=_NOBODY)
    assert refused.returncode == 1
    assert "/opt/cni/bin" in refused.stderr
    run(agent, "weft-install")
    assert (agent / "opt/cni/bin/weft").stat().st_mode & 0o777 == 0o755
    assert b"/ld-linux" not in (agent / "opt/cni/bin/weft").read_bytes(), "static: it runs on any host"
    assert json.loads((agent / "etc/cni/net.d/10-weft.conflist").read_text())["name"] == "weft"
    run(agent, "weft-install", "--remove")
    assert not list((agent / "opt/cni/bin").iterdir())
    assert not list((agent / "etc/cni/net.d").iterdir())


_DISTRIBUTIONS = """
import importlib.metadata, re
for each in importlib.metadata.distributions():
    print("pkg:pypi/" + re.sub("[-_.]+", "-", each.metadata["Name"]).lower(), each.version)
"""
