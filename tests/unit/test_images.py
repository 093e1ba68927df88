"""What says what is in the images: the pinned requirements, and the bills of materials."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from images import sbom
from images.build import ROOT

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_STATUS = """\
Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.37-2

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0
"""


_METADATA = "Metadata-Version: 2.4\nName: {name}\nVersion: 1.2\n{licence}\nText: of its own\n"
_COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
License: GPL-3+ and odd
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Of an image with one package of Debian's, one that was removed, and two of Python's."""
    for name, text in {
        "etc/os-release": 'ID=debian\nVERSION_ID="13"\n',
        "var/lib/dpkg/status": _STATUS,
        "usr/share/doc/bash/copyright": _COPYRIGHT,
        "opt/weft/lib/python3.13/site-packages/Some_Thing-1.2.dist-info/METADATA": _METADATA.format(
            name="Some_Thing", licence="License-Expression: MIT\n"
        ),
        "opt/weft/lib/python3.13/site-packages/other-1.2.dist-info/METADATA": _METADATA.format(
            name="other", licence=""
        ),
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_bill_lists_what_is_installed_with_licences_where_they_are_said(files: Path) -> None:
    bill = json.loads(sbom.document("weft/agent:1", files, CREATED))
    packages = {each["name"]: each for each in bill["packages"]}
    assert sorted(packages) == ["bash", "other", "some-thing", "weft/agent:1"]
    purl = packages["bash"]["externalRefs"][0]["referenceLocator"]
    assert purl == "pkg:deb/debian/bash@5.2.37-2?arch=amd64&distro=debian-13"
    assert packages["bash"]["licenseDeclared"] == "GPL-3.0-or-later AND LicenseRef-bash-odd"
    assert packages["some-thing"]["licenseDeclared"] == "MIT"
    assert packages["other"]["licenseDeclared"] == "NOASSERTION"


def test_a_licence_without_an_identifier_has_its_text_in_the_image(files: Path) -> None:
    bill = json.loads(sbom.document("weft/agent:1", files, CREATED))
    text = "See /usr/share/doc/bash/copyright in the image."
    assert bill["hasExtractedLicensingInfos"] == [{"licenseId": "LicenseRef-bash-odd", "extractedText": text}]
    assert (files / text.split()[1].lstrip("/")).exists()


def test_a_bill_is_spdx_and_the_same_for_the_same_files(files: Path) -> None:
    text = sbom.document("weft/agent:1", files, CREATED)
    assert sbom.document("weft/agent:1", files, CREATED) == text
    bill = json.loads(text)
    assert (bill["spdxVersion"], bill["creationInfo"]["created"]) == ("SPDX-2.3", "2026-01-02T03:04:05Z")
    ids = [each["SPDXID"] for each in bill["packages"]]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", each) for each in ids)
    contained = {
        each["relatedSpdxElement"] for each in bill["relationships"] if each["relationshipType"] == "CONTAINS"
    }
    assert contained == set(ids) - {"SPDXRef-image"}


def test_the_pinned_requirements_are_what_the_project_asks_for() -> None:
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "images/requirements.txt").read_text(), re.MULTILINE))
    for asked in map(Requirement, project()["project"]["dependencies"]):
        assert asked.name in pinned, f"{asked.name}: run `make images/requirements.txt`"
        assert asked.specifier.contains(pinned[asked.name]), f"{asked}: run `make images/requirements.txt`"


def test_every_package_of_the_project_is_copied_into_the_images_but_those_of_developers() -> None:
    include = project()["tool"]["setuptools"]["packages"]["find"]["include"]
    copied = re.findall(r"^COPY (\w+)/ ", (ROOT / "images/Dockerfile").read_text(), re.MULTILINE)
    assert sorted([*copied, "bench", "fuzz"]) == sorted(each.rstrip("*") for each in include)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{each}" for each in copied} <= set(ignored)


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())
