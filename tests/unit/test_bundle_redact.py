"""What is taken out of texts and JSON, in which forms, and what is left."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.bundle.redact import REDACTED, text, tree

PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04\n-----END EC PRIVATE KEY-----"
JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl_c2ln-bmF0dXJl"
S = "s3cr3tW0rd"
FORMS = {
    "yaml": f"password: {S}",
    "yaml, quoted": f"db-password: '{S}'",
    "yaml, next line": f"password:\n  {S}",
    "assignment": f"export API_TOKEN={S}",
    "json": f'{{"clientSecret": "{S}", "a": 1}}',
    "json, with blanks": f'{{"passphrase" : "{S} and more {S}"}}',
    "json, with a quote": f'{{"password": "{S}\\"{S}"}}',
    "json in json": json.dumps({"event": json.dumps({"password": S})}),
    "json in json in json": json.dumps({"a": json.dumps({"b": json.dumps({"psk": S})})}),
    "ovsdb": f"options: {{psk={S}, key=flow}}",
    "flag": f"weft-agent --registration-token {S} --mtu 1400",
    "flag with =": f"--bootstrap-token={S}",
    "words": f'wrong password "{S}"',
    "environment": f'[{{"name": "DB_PASSWORD", "value": "{S}"}}]',
    "query": f"GET /login?user=me&access_token={S}&x=1",
    "url": f"https://me:{S}@registry.example.com/v2",
    "url without a name": f"https://{S}@registry.example.com/v2",
    "basic": f"Authorization: Basic {S}==",
    "bearer": f"authorization: bearer {S}",
    "other scheme": f'Authorization: Digest username="me", response={S}',
    "bearer in a log": f'{{"event":"refused","header":"Bearer {S}"}}',
    "key": PEM.replace("MHcCAQEEII", S),
    "key in a string": json.dumps(PEM.replace("MHcCAQEEII", S)),
    "beginning of a key": PEM.replace("MHcCAQEEII", S).partition("-----END")[0],
    "end of a key": PEM.replace("MHcCAQEEII", S).partition("KEY-----")[2],
    "encrypted key": f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{S}\n-----END ENCRYPTED PRIVATE KEY-----",
    "key in base64": f"client-key-data: LS0tLS1CRUdJTi{S}",
    "key in base64 alone": f"data LS0tLS1CRUdJTi{S}=",
    "token": f"x {JWT}{S} y",
    "kubeadm": "kubeadm join --token abcdef.0123456789s3cr3t",
    "aws": "AKIAS3CR3TW0RDS3CR3T",
    "github": f"ghp_{S}{S}{S}",
    "slack": f"xoxb-{S}",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_goes(form: str) -> None:
    done = text(f"before\n{FORMS[form]}\nafter\n")
    assert "s3cr3t" not in done.lower()
    assert REDACTED in done
    if "key" not in form:
        assert done.startswith("before\n")
        assert done.endswith("after\n")


@pytest.mark.parametrize("form", [name for name in FORMS if name.startswith("json")])
def test_json_stays_json(form: str) -> None:
    assert json.loads(text(FORMS[form]))


@pytest.mark.parametrize(
    "harmless",
    [
        "cookie=0x5f02fd9689f6c307,table=0,priority=40000,in_port=17,actions=set_field:0x1/0xf->reg0,goto_table:1",
        "tls-key: /etc/weft/tls/tls.key",
        '"private_key": "/var/lib/weft/tls.key"',
        "automountServiceAccountToken: true",
        '"imagePullSecrets": null',
        "options: {key=flow, remote_ip=flow}",
        'weft_cni_request_seconds_bucket{le="0.001",verb="ADD"} 7.0',
        "http://[fd00::1]:6443/api/v1/pods?watch=true",
        "ssl:192.0.2.1:6653",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "container 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    ],
)
def test_what_gives_nothing_away_stays(harmless: str) -> None:
    assert text(harmless) == harmless


def test_only_the_value_goes() -> None:
    assert text(f'level=info token="{S}" node=a') == f'level=info token="{REDACTED}" node=a'


def test_what_a_name_marks_goes_from_a_tree_whatever_it_looks_like() -> None:
    given = {"a": [{"psk": "x y", "key": "flow"}], "password": "", "tls_key": "/etc/k", "n": {"token": 5}}
    assert tree(given) == {
        "a": [{"psk": REDACTED, "key": "flow"}],
        "password": "",
        "tls_key": "/etc/k",
        "n": {"token": 5},
    }


def test_texts_in_a_tree_are_looked_through() -> None:
    assert S not in json.dumps(tree({"annotations": {"last-applied": FORMS["json"], "x": [FORMS["url"]]}}))


@given(st.text())
def test_doing_it_twice_changes_nothing(given_text: str) -> None:
    once = text(given_text)
    assert text(once) == once


@given(st.sampled_from(sorted(FORMS)), st.text(alphabet=" \n{}[]\"',;x=:", max_size=8))
def test_what_stands_around_a_secret_does_not_save_it(form: str, around: str) -> None:
    assert "s3cr3t" not in text(f"{around}\n{FORMS[form]}\n{around}").lower()
