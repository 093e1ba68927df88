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


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Of an image with one package of Debian's, one that was removed, and two of Python's."""
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(_STATUS)
    for name, licence in (("Some_Thing", "License-Expression: MIT\n"), ("other", "")):
        metadata = tmp_path / f"opt/weft/lib/python3.13/site-packages/{name}-1.2.dist-info/METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.2\n{licence}\nText: of its own\n")
    return tmp_path


def test_a_bill_lists_what_is_installed_with_licences_where_they_are_said(files: Path) -> None:
    bill = json.loads(sbom.document("weft/agent:1", files, CREATED))
    packages = {each["name"]: each for each in bill["packages"]}
    assert sorted(packages) == ["bash", "other", "some-thing", "weft/agent:1"]
    assert packages["bash"]["externalRefs"][0]["referenceLocator"] == "pkg:deb/debian/bash@5.2.37-2?arch=amd64"
    assert packages["some-thing"]["licenseDeclared"] == "MIT"
    assert packages["other"]["licenseDeclared"] == "NOASSERTION"


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


def test_every_package_of_the_project_is_copied_into_the_images() -> None:
    include = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"][
        "include"
    ]
    copied = re.findall(r"^COPY (\w+)/ ", (ROOT / "images/Dockerfile").read_text(), re.MULTILINE)
    assert sorted(copied) == sorted(each.rstrip("*") for each in include)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{each}" for each in copied} <= set(ignored)


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())
