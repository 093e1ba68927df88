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

CONTROLLER_CA, AGENT_CA, CONTROLLER, AGENT = NAMED = (
    "weft-controller-ca",
    "weft-agent-ca",
    "weft-controller-tls",
    "weft-agent-tls",
)
NAMES = {CONTROLLER: "weft-controller", AGENT: "weft-agent"}
SIGNERS = {CONTROLLER: CONTROLLER_CA, AGENT: AGENT_CA}
OTHERS = {CONTROLLER: AGENT, AGENT: CONTROLLER}
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
        if metadata["name"] in NAMED:
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
    assert set(secrets) == set(NAMED)
    files = {name: secrets[name].put(tmp_path / name) for name in NAMES}
    for dialling, listening in ((CONTROLLER, AGENT), (AGENT, CONTROLLER)):
        client = context(ssl.PROTOCOL_TLS_CLIENT, files[dialling])
        server = context(ssl.PROTOCOL_TLS_SERVER, files[listening])
        seen = handshake(client, server, NAMES[listening])
        assert seen["subjectAltName"] == (("DNS", NAMES[dialling]),)
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            handshake(client, server, NAMES[dialling])


def test_each_side_is_signed_by_an_authority_that_only_the_other_side_trusts(
    release: Release, tmp_path: Path
) -> None:
    secrets = kept(release.api)
    for name, signer in SIGNERS.items():
        own, other = secrets[name].files, secrets[OTHERS[name]].files
        assert verified(own["tls.crt"], secrets[signer].files["ca.crt"], tmp_path)
        assert verified(own["tls.crt"], other["ca.crt"], tmp_path)
        assert not verified(own["tls.crt"], own["ca.crt"], tmp_path)
        assert other["ca.crt"] == secrets[signer].files["ca.crt"]


@pytest.mark.parametrize("name", NAMES)
def test_no_side_opens_or_answers_its_own_side(release: Release, tmp_path: Path, name: str) -> None:
    """An agent's certificate, say, that was stolen from one node: whether another node's database takes it, and
    whether another node's switch takes who has it for its controller."""
    files = kept(release.api)[name].put(tmp_path / name)
    credulous = context(ssl.PROTOCOL_TLS_CLIENT, files), context(ssl.PROTOCOL_TLS_SERVER, files)
    for thief in credulous:
        thief.check_hostname, thief.verify_mode = False, ssl.CERT_NONE
    dialling, listening = credulous
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        handshake(dialling, context(ssl.PROTOCOL_TLS_SERVER, files), NAMES[name])
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        handshake(context(ssl.PROTOCOL_TLS_CLIENT, files), listening, NAMES[name])


def test_the_authorities_keys_are_in_no_secret_that_a_pod_mounts(release: Release) -> None:
    secrets = kept(release.api)
    keys = {secrets[name].files["ca.key"] for name in SIGNERS.values()}
    assert len(keys) == 2
    assert [set(secrets[name].files) for name in SIGNERS.values()] == [{"ca.crt", "ca.key"}] * 2
    for name in NAMES:
        assert set(secrets[name].files) == {"ca.crt", "tls.crt", "tls.key"}
        assert not keys & set(secrets[name].files.values())


def test_they_say_when_they_expire(release: Release) -> None:
    for name, days in ((CONTROLLER_CA, 3650), (AGENT_CA, 3650), (CONTROLLER, 1095), (AGENT, 1095)):
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
    for name, signer in SIGNERS.items():
        assert second[signer] == first[signer]
        assert second[name].files["tls.crt"] != first[name].files["tls.crt"]
        assert second[name].files["ca.crt"] == first[name].files["ca.crt"]
        assert verified(second[name].files["tls.crt"], first[signer].files["ca.crt"], tmp_path)
    release.upgrade("--set=tls.generated.renewal=one,logLevel=debug")
    assert kept(release.api) == second
    release.rollback(1)
    assert kept(release.api) == second
    release.upgrade("--set=logLevel=debug")
    assert kept(release.api) == second


def test_of_new_authorities_all_is_new_and_what_the_old_ones_have_signed_is_believed_still(
    release: Release, tmp_path: Path
) -> None:
    first = kept(release.api)
    release.upgrade("--set=tls.generated.authorityRenewal=one")
    second = kept(release.api)
    for name, signer in SIGNERS.items():
        assert second[signer].files["ca.crt"] != first[signer].files["ca.crt"]
        believed = second[OTHERS[name]].files["ca.crt"]
        assert verified(second[name].files["tls.crt"], second[signer].files["ca.crt"], tmp_path)
        assert not verified(second[name].files["tls.crt"], first[signer].files["ca.crt"], tmp_path)
        assert verified(second[name].files["tls.crt"], believed, tmp_path)
        assert verified(first[name].files["tls.crt"], believed, tmp_path)
        for either in (first, second):
            assert not verified(either[name].files["tls.crt"], second[name].files["ca.crt"], tmp_path)
    release.upgrade("--set=tls.generated.authorityRenewal=one,logLevel=debug")
    assert kept(release.api) == second
    release.upgrade("--set=tls.generated.authorityRenewal=one,tls.generated.renewal=two")
    third = kept(release.api)
    for name, signer in SIGNERS.items():
        assert third[signer] == second[signer]
        assert third[OTHERS[name]].files["ca.crt"] == second[signer].files["ca.crt"]


def test_of_two_renewals_of_authorities_the_last_two_are_believed(release: Release, tmp_path: Path) -> None:
    first = kept(release.api)
    release.upgrade("--set=tls.generated.authorityRenewal=one")
    second = kept(release.api)
    release.upgrade("--set=tls.generated.authorityRenewal=two")
    believed = kept(release.api)[CONTROLLER].files["ca.crt"]
    assert verified(second[AGENT].files["tls.crt"], believed, tmp_path)
    assert not verified(first[AGENT].files["tls.crt"], believed, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_certificate_that_is_gone_is_made_again_by_the_same_authority(
    release: Release, tmp_path: Path, name: str
) -> None:
    before = kept(release.api)
    delete(release.api, name)
    release.upgrade()
    after = kept(release.api)
    assert {each: after[each] for each in NAMED if each != name} == {
        each: before[each] for each in NAMED if each != name
    }
    assert after[name].files["ca.crt"] == before[name].files["ca.crt"]
    assert verified(after[name].files["tls.crt"], before[SIGNERS[name]].files["ca.crt"], tmp_path)


def test_an_authority_that_was_taken_away_is_missed_when_there_is_something_to_sign(
    release: Release, tmp_path: Path
) -> None:
    before = kept(release.api)
    delete(release.api, AGENT_CA)
    delete(release.api, CONTROLLER_CA)
    release.upgrade()
    assert kept(release.api) == {name: before[name] for name in NAMES}
    delete(release.api, AGENT)
    release.upgrade()
    each_knows_the_other(kept(release.api), tmp_path)


def test_of_one_new_authority_the_other_side_is_told_and_keeps_its_certificate(
    release: Release, tmp_path: Path
) -> None:
    before = kept(release.api)
    delete(release.api, AGENT_CA)
    delete(release.api, AGENT)
    release.upgrade()
    after = kept(release.api)
    each_knows_the_other(after, tmp_path)
    assert after[CONTROLLER_CA] == before[CONTROLLER_CA]
    for file in ("tls.crt", "tls.key"):
        assert after[CONTROLLER].files[file] == before[CONTROLLER].files[file]
    assert after[CONTROLLER].expires == before[CONTROLLER].expires
    assert verified(before[AGENT].files["tls.crt"], after[CONTROLLER].files["ca.crt"], tmp_path)
    release.upgrade("--set=logLevel=debug")
    assert kept(release.api) == after


def test_an_authority_that_nobody_knows_any_more_is_made_again(release: Release, tmp_path: Path) -> None:
    """The agents' Secret was the only other place that had the certificate of the controller's authority."""
    delete(release.api, CONTROLLER_CA)
    delete(release.api, AGENT)
    release.upgrade()
    each_knows_the_other(kept(release.api), tmp_path)


def test_what_an_upgrade_that_broke_off_has_not_told_the_other_side_the_next_one_does(
    release: Release, tmp_path: Path
) -> None:
    """It had made an authority and nothing else."""
    before = kept(release.api)
    release.upgrade("--set=tls.generated.authorityRenewal=one")
    for name in NAMES:
        put_back(release.api, name, before[name])
    release.upgrade("--set=tls.generated.authorityRenewal=one")
    each_knows_the_other(kept(release.api), tmp_path)
    delete(release.api, AGENT)
    release.upgrade("--set=tls.generated.authorityRenewal=one")
    each_knows_the_other(kept(release.api), tmp_path)


def test_who_upgrades_is_told_when_they_expire_soon(api: ApiServer) -> None:
    with installed(api, "--set=tls.generated.certificateDays=30") as release:
        told = release.upgrade()
        assert f"WARNING: the certificates expire on {kept(api)[AGENT].expires}." in told
        assert "WARNING" not in release.upgrade("--set=tls.generated.renewal=now") + release.upgrade()


def test_the_first_that_expires_counts(api: ApiServer) -> None:
    with installed(api, "--set=tls.generated.certificateDays=30") as release:
        delete(api, AGENT)
        assert "WARNING" in release.upgrade("--set=tls.generated.certificateDays=60")
        secrets = kept(api)
        assert secrets[CONTROLLER].expires < secrets[AGENT].expires
        assert f"WARNING: the certificates expire on {secrets[CONTROLLER].expires}." in release.upgrade()


def test_who_upgrades_is_told_when_the_authorities_expire_soon(api: ApiServer) -> None:
    with installed(api, "--set=tls.generated.authorityDays=30") as release:
        told = release.upgrade()
        assert "the certificates expire" not in told
        assert f"WARNING: the certificate authorities expire on {kept(api)[AGENT_CA].expires}. " in told
        assert "upgrade with --set tls.generated.authorityRenewal=" in told
        assert "WARNING" not in release.upgrade("--set=tls.generated.authorityRenewal=now") + release.upgrade()


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


@pytest.mark.parametrize("name", NAMED)
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
        assert set(kept(api)) == set(NAMED)
        release.upgrade(f"--values={values}")
        release.uninstall()
        names = {each["metadata"]["name"] for each in api.get(SECRETS)["items"]}
        assert "weft-agent-tls-values" not in names


def delete(api: ApiServer, name: str) -> None:
    assert api.request("DELETE", f"{SECRETS}/{name}").status == 200


def put_back(api: ApiServer, name: str, held: Kept) -> None:
    """Have the Secret hold what it held."""
    data = {file: base64.b64encode(data).decode() for file, data in held.files.items()}
    assert api.merge(f"{SECRETS}/{name}", {"data": data}, api.token).status == 200


def each_knows_the_other(secrets: dict[str, Kept], tmp_path: Path) -> None:
    """Each side is accepted by the other, and not by its own."""
    for name in NAMES:
        certificate = secrets[name].files["tls.crt"]
        assert verified(certificate, secrets[OTHERS[name]].files["ca.crt"], tmp_path)
        assert not verified(certificate, secrets[name].files["ca.crt"], tmp_path)
