"""An image's bill of materials, SPDX 2.3 as JSON (spdx.github.io/spdx-spec/v2.3): what its package managers know.

Debian's packages are read from dpkg's status file, Python's from their metadata. The same files give the same text.
Executables that Weft compiles are in the distribution `weft`, whose source they are from.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from email.parser import HeaderParser
from pathlib import Path
from urllib.parse import quote

from images import licences
from images.licences import UNKNOWN

_STATUS = Path("var/lib/dpkg/status")
COPYRIGHT = "usr/share/doc/{package}/copyright"


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """`kind` is deb or pypi, `licence` an SPDX expression or NOASSERTION, `url` the package URL (purl)."""

    kind: str
    name: str
    version: str
    url: str
    licence: str
    supplier: str


def document(name: str, files: Path, created: datetime) -> str:
    """The bill of the image `name`, whose files are below `files`; `created` is in UTC."""
    packages = sorted({*debian_packages(files), *python_packages(files)})
    contents = [_package(each) for each in packages]
    digest = hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:32]
    image = {
        "SPDXID": "SPDXRef-image",
        "name": name,
        "versionInfo": name.rpartition(":")[2],
        "primaryPackagePurpose": "CONTAINER",
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
    }
    bill = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"https://weft.dev/spdx/{quote(name, safe='')}/{digest}",
        "creationInfo": {"created": f"{created:%Y-%m-%dT%H:%M:%SZ}", "creators": ["Tool: weft-images"]},
        "packages": [image, *contents],
        "hasExtractedLicensingInfos": [*_extracted(packages)],
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image"),
            *(_relation("SPDXRef-image", "CONTAINS", each["SPDXID"]) for each in contents),
        ],
    }
    return json.dumps(bill, indent=1) + "\n"


def debian_packages(files: Path) -> Iterator[Package]:
    """What dpkg has installed (deb-control(5)): stanzas, separated by empty lines."""
    release = re.search(r"^VERSION_ID=\"?([0-9.]+)", (files / "etc/os-release").read_text(), re.MULTILINE)
    distro = f"&distro=debian-{release[1]}" if release else ""
    for stanza in (files / _STATUS).read_text().strip().split("\n\n"):
        fields = HeaderParser().parsestr(stanza)
        if fields["Status"] == "install ok installed":
            name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
            url = f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}?arch={architecture}{distro}"
            yield Package("deb", name, version, url, _debian_licence(files, name), "Organization: Debian")


def _debian_licence(files: Path, package: str) -> str:
    where = files / COPYRIGHT.format(package=package)
    return licences.of_debian(package, where.read_text(errors="replace")) if where.is_file() else UNKNOWN


def python_packages(files: Path) -> Iterator[Package]:
    """Distributions in virtual environments under /opt (packaging.python.org, core metadata)."""
    for metadata in sorted((files / "opt").glob("*/lib/python3*/site-packages/*.dist-info/METADATA")):
        fields = HeaderParser().parsestr(metadata.read_text(errors="replace"))
        name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()
        url = f"pkg:pypi/{name}@{fields['Version']}"
        yield Package("pypi", name, fields["Version"], url, licences.of_python(fields), UNKNOWN)


def _extracted(packages: Iterable[Package]) -> Iterator[dict[str, object]]:
    """Where the texts of licences are that SPDX has no identifier for."""
    for package in packages:
        for each in sorted(set(licences.references(package.licence))):
            text = f"See /{COPYRIGHT.format(package=package.name)} in the image."
            yield {"licenseId": each, "extractedText": text}


def _package(package: Package) -> dict[str, object]:
    purl = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": package.url}
    return {
        "SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{package.kind}-{package.name}"),
        "name": package.name,
        "versionInfo": package.version,
        "supplier": package.supplier,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": package.licence,
        "copyrightText": UNKNOWN,
        "externalRefs": [purl],
    }


def _relation(one: object, kind: str, other: object) -> dict[str, object]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
