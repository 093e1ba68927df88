"""Authorities and certificates for tests, made by openssl: right ones, and every kind of wrong one.

pki = Pki(tmp_path)
pki.agent              # files as the settings tls-ca, tls-certificate and tls-key name them
pki.agent.put(there)   # copied to ca.crt, tls.crt and tls.key, as a Secret is mounted
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from daemon.certificates import AGENT_NAME, CONTROLLER_NAME, TlsFiles

CURVE = "EC -pkeyopt ec_paramgen_curve:P-256"
RSA = "RSA -pkeyopt rsa_keygen_bits:2048"


@dataclass(frozen=True)
class Certified:
    """A certificate with its key, and the authority that its holder accepts others of."""

    ca: Path
    certificate: Path
    key: Path

    @property
    def files(self) -> TlsFiles:
        return TlsFiles(self.ca, self.certificate, self.key)

    @property
    def settings(self) -> dict[str, str]:
        return {"tls_ca": str(self.ca), "tls_certificate": str(self.certificate), "tls_key": str(self.key)}

    @property
    def ovs_flags(self) -> list[str]:
        """For programs of Open vSwitch."""
        return [f"--private-key={self.key}", f"--certificate={self.certificate}", f"--ca-cert={self.ca}"]

    def accepting(self, *authorities: Authority) -> Certified:
        """The same, of whom accepts others of these authorities."""
        ca = self.certificate.with_suffix(f".by-{'-'.join(each.certificate.stem for each in authorities)}")
        ca.write_text("".join(each.certificate.read_text() for each in authorities))
        return replace(self, ca=ca)

    def put(self, there: Path) -> Certified:
        """Replace what is in the directory, the new in the place of the old at once, as the kubelet does."""
        there.mkdir(exist_ok=True)
        placed = Certified(there / "ca.crt", there / "tls.crt", there / "tls.key")
        for mine, place in ((self.ca, placed.ca), (self.certificate, placed.certificate), (self.key, placed.key)):
            new = place.with_suffix(".new")
            shutil.copyfile(mine, new)
            new.replace(place)
        return placed


class Authority:
    """Signs certificates; one whose `parent` is given is signed by that, others by themselves."""

    def __init__(self, where: Path, name: str, parent: Authority | None = None) -> None:
        self._where = where
        self._made = 0
        self.certificate, self.key = where / f"{name}.crt", where / f"{name}.key"
        _key(self.key, CURVE)
        signer = f"-CA {parent.certificate} -CAkey {parent.key}" if parent else ""
        _openssl(f"req -x509 -key {self.key} -subj /CN={name} -days 2 -out {self.certificate} {signer}"
                 " -addext keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip

    def issue(
        self, dns: str, *, algorithm: str = CURVE, days: int = 2, usage: str = "serverAuth,clientAuth"
    ) -> Certified:
        """A certificate with this DNS name. Of -1 `days`: it expired yesterday."""
        self._made += 1
        stem = self._where / f"{self.certificate.stem}-{self._made}"
        key, request, extensions, certificate = (stem.with_suffix(f".{end}") for end in ("key", "csr", "ext", "crt"))
        _key(key, algorithm)
        _openssl(f"req -new -key {key} -subj /CN={dns} -out {request}")
        extensions.write_text(f"subjectAltName=DNS:{dns}\nextendedKeyUsage={usage}\n")
        _openssl(f"x509 -req -in {request} -CA {self.certificate} -CAkey {self.key} -set_serial {self._made}"
                 f" -days {days} -extfile {extensions} -out {certificate}")  # fmt: skip
        return Certified(self.certificate, certificate, key)


class Pki:
    """One authority with what it has signed, and another one."""

    def __init__(self, where: Path) -> None:
        where.mkdir(parents=True, exist_ok=True)
        self.where = where
        self.authority = Authority(where, "ca")

    @cached_property
    def other(self) -> Authority:
        return Authority(self.where, "other")

    @cached_property
    def controller(self) -> Certified:
        return self.authority.issue(CONTROLLER_NAME)

    @cached_property
    def agent(self) -> Certified:
        return self.authority.issue(AGENT_NAME)

    @cached_property
    def expired(self) -> Certified:
        """An agent's, until yesterday."""
        return self.authority.issue(AGENT_NAME, days=-1)

    @cached_property
    def misnamed(self) -> Certified:
        return self.authority.issue("weft-nobody")

    @cached_property
    def stranger(self) -> Certified:
        """An agent's by another authority; it accepts ours."""
        return self.other.issue(AGENT_NAME).accepting(self.authority)


def _key(path: Path, algorithm: str) -> None:
    _openssl(f"genpkey -algorithm {algorithm} -out {path}")


def _openssl(arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments.split()], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
