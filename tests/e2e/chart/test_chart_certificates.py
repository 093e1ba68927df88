"""The certificates that helm makes: good for what they are for, and left alone until somebody asks for others."""

from __future__ import annotations

import base64
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from apiserver_fixture import ApiServer
from chart_fixture import CHART, NAMESPACE, Release, installed

CA, CONTROLLER, AGENT = "weft-ca", "weft-controller-tls", "weft-agent-tls"
NAMES = {CONTROLLER: "weft-controller", AGENT: "weft-agent"}
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"


@dataclass(frozen=True)
class Kept:
    """What a Secret has, by its keys as files in a directory."""

    uid: str
    files: Mapping[str, bytes]
    expires: str

    def put(self, directory: Path) -> Path:
        directory.mkdir()
        for name, data in self.files.items():
            (directory / name).write_bytes(data)
        return directory


@pytest.fixture
def release(api: ApiServer) -> Iterator[Release]:
    with installed(api) as release:
        yield release


def kept(api: ApiServer) -> dict[str, Kept]:
    """The chart's Secrets that are there."""
    found = {}
    for item in api.get(SECRETS)["items"]:
        metadata = item["metadata"]
        if metadata["name"] in (CA, CONTROLLER, AGENT):
            files = {key: base64.b64decode(data) for key, data in item["data"].items()}
            found[metadata["name"]] = Kept(metadata["uid"], files, metadata["annotations"]["weft.dev/expires"])
    return found


def verified(certificate: bytes, authority: bytes, directory: Path) -> bool:
    """Whether one certificate is of an authority, and good for servers and clients."""
    (directory / "leaf").write_bytes(certificate)
    (directory / "authority").write_bytes(authority)
    return all(
        subprocess.run(
            ["openssl", "verify", "-CAfile", directory / "authority", "-purpose", purpose, directory / "leaf"],
            capture_output=True,
            timeout=30,
            check=False,
        ).returncode
        == 0
        for purpose in ("sslserver", "sslclient")
    )


def context(side: ssl._SSLMethod, files: Path) -> ssl.SSLContext:
    """As strict as OpenSSL is about certificates (RFC 5280), and so the newest Pythons are by default."""
    chosen = ssl.SSLContext(side)
    chosen.verify_mode = ssl.CERT_REQUIRED
    chosen.verify_flags |= ssl.VERIFY_X509_STRICT
    chosen.load_verify_locations(files / "ca.crt")
    chosen.load_cert_chain(files / "tls.crt", files / "tls.key")
    return chosen


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> dict[str, object]:
    """TLS between two in memory. Returns the client's certificate as the server sees it; raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname=name)
    serving = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (asking, serving):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return dict(serving.getpeercert() or {})


def test_both_ends_know_each_other_by_name(release: Release, tmp_path: Path) -> None:
    secrets = kept(release.api)
    assert set(secrets) == {CA, CONTROLLER, AGENT}
    files = {name: secrets[name].put(tmp_path / name) for name in NAMES}
    for dialling, listening in ((CONTROLLER, AGENT), (AGENT, CONTROLLER)):
        client = context(ssl.PROTOCOL_TLS_CLIENT, files[dialling])
        server = context(ssl.PROTOCOL_TLS_SERVER, files[listening])
        seen = handshake(client, server, NAMES[listening])
        assert seen["subjectAltName"] == (("DNS", NAMES[dialling]),)
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            handshake(client, server, NAMES[dialling])


def test_the_authority_s_key_is_in_no_secret_that_a_pod_mounts(release: Release) -> None:
    secrets = kept(release.api)
    assert set(secrets[CA].files) == {"ca.crt", "ca.key"}
    for name in NAMES:
        assert set(secrets[name].files) == {"ca.crt", "tls.crt", "tls.key"}
        assert secrets[CA].files["ca.key"] not in secrets[name].files.values()


def test_they_say_when_they_expire(release: Release) -> None:
    for name, days in ((CA, 3650), (CONTROLLER, 1095), (AGENT, 1095)):
        expires = datetime.fromisoformat(kept(release.api)[name].expires).replace(tzinfo=UTC)
        assert abs(expires - datetime.now(UTC) - timedelta(days=days)) < timedelta(days=2)


def test_upgrades_and_rollbacks_leave_them_as_they_are(release: Release) -> None:
    before = kept(release.api)
    release.upgrade("--set=logLevel=debug")
    assert kept(release.api) == before
    release.upgrade("--set=logLevel=info,tls.generated.certificateDays=10")
    assert kept(release.api) == before
    release.rollback(1)
    assert kept(release.api) == before


def test_a_renewal_makes_new_certificates_once_and_a_rollback_does_not_bring_back_the_old(
    release: Release, tmp_path: Path
) -> None:
    first = kept(release.api)
    release.upgrade("--set=tls.generated.renewal=one")
    second = kept(release.api)
    assert second[CA] == first[CA]
    for name in NAMES:
        assert second[name].files["tls.crt"] != first[name].files["tls.crt"]
        assert second[name].files["ca.crt"] == first[name].files["ca.crt"]
        assert verified(second[name].files["tls.crt"], first[CA].files["ca.crt"], tmp_path)
    release.upgrade("--set=tls.generated.renewal=one,logLevel=debug")
    assert kept(release.api) == second
    release.rollback(1)
    assert kept(release.api) == second
    release.upgrade("--set=logLevel=debug")
    assert kept(release.api) == second


def test_of_a_new_authority_all_is_new_and_what_the_old_one_has_signed_is_believed_still(
    release: Release, tmp_path: Path
) -> None:
    first = kept(release.api)
    release.upgrade("--set=tls.generated.authorityRenewal=one")
    second = kept(release.api)
    assert second[CA].files["ca.crt"] != first[CA].files["ca.crt"]
    for name in NAMES:
        believed = second[name].files["ca.crt"]
        assert verified(second[name].files["tls.crt"], second[CA].files["ca.crt"], tmp_path)
        assert not verified(second[name].files["tls.crt"], first[CA].files["ca.crt"], tmp_path)
        assert verified(first[name].files["tls.crt"], believed, tmp_path)
    release.upgrade("--set=tls.generated.authorityRenewal=one,tls.generated.renewal=two")
    third = kept(release.api)
    assert third[CA] == second[CA]
    assert {third[name].files["ca.crt"] for name in NAMES} == {second[CA].files["ca.crt"]}


def test_a_certificate_that_is_gone_is_made_again_by_the_same_authority(release: Release, tmp_path: Path) -> None:
    before = kept(release.api)
    delete(release.api, AGENT)
    release.upgrade()
    after = kept(release.api)
    assert (after[CA], after[CONTROLLER]) == (before[CA], before[CONTROLLER])
    assert verified(after[AGENT].files["tls.crt"], before[CA].files["ca.crt"], tmp_path)


def test_an_authority_that_was_taken_away_is_missed_when_there_is_something_to_sign(
    release: Release, tmp_path: Path
) -> None:
    before = kept(release.api)
    delete(release.api, CA)
    release.upgrade()
    assert kept(release.api) == {name: before[name] for name in NAMES}
    delete(release.api, AGENT)
    release.upgrade()
    after = kept(release.api)
    for name in NAMES:
        assert verified(after[name].files["tls.crt"], after[CA].files["ca.crt"], tmp_path)


def test_who_upgrades_is_told_when_they_expire_soon(api: ApiServer) -> None:
    with installed(api, "--set=tls.generated.certificateDays=30") as release:
        told = release.upgrade()
        assert f"WARNING: the certificates expire on {kept(api)[AGENT].expires}." in told
        assert "WARNING" not in release.upgrade("--set=tls.generated.renewal=now") + release.upgrade()


def test_uninstalling_leaves_none(api: ApiServer) -> None:
    with installed(api) as release:
        release.uninstall()
        assert kept(api) == {}


def test_those_that_an_uninstall_has_left_are_used_again(api: ApiServer) -> None:
    with installed(api) as release:
        before = kept(api)
        release.helm("uninstall", "weft", "--no-hooks", "--wait=hookOnly")
        assert kept(api) == before
        release.install()
        assert kept(api) == before


@pytest.mark.parametrize("name", [CA, AGENT])
def test_a_secret_that_is_somebody_else_s_is_neither_used_nor_deleted(api: ApiServer, name: str) -> None:
    release = Release(api)
    api.kubectl("create", "namespace", NAMESPACE)
    made = api.kubectl("create", "secret", "generic", name, "--from-literal=tls.crt=x", f"--namespace={NAMESPACE}")
    assert made.returncode == 0, made.stderr
    try:
        done = release.tried("install", "weft", str(CHART), "--wait=hookOnly")
        assert done.returncode != 0
        assert f"the Secret {name} is there, and this chart has not made it" in done.stderr
        assert api.get(f"{SECRETS}/{name}")["data"] == {"tls.crt": "eA=="}
    finally:
        delete(api, name)


def test_certificates_that_are_given_are_used_and_go_with_the_release(api: ApiServer) -> None:
    values = CHART.parents[1] / "tests" / "e2e" / "chart" / "values" / "pem.yaml"
    with installed(api, f"--values={values}") as release:
        assert kept(api) == {}
        given = api.get(f"{SECRETS}/weft-agent-tls-values")["data"]
        assert base64.b64decode(given["tls.key"]).startswith(b"-----BEGIN PRIVATE KEY-----\n")
        release.upgrade("--reset-values")
        assert set(kept(api)) == {CA, CONTROLLER, AGENT}
        release.upgrade(f"--values={values}")
        release.uninstall()
        names = {each["metadata"]["name"] for each in api.get(SECRETS)["items"]}
        assert "weft-agent-tls-values" not in names


def delete(api: ApiServer, name: str) -> None:
    assert api.request("DELETE", f"{SECRETS}/{name}").status == 200
