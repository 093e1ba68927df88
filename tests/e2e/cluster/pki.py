"""The cluster's certificate authority and what it signs, by the `openssl` command."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from cluster.layout import API_SERVICE, API_URL, DOMAIN, PKI, NodeLayout, gateway_addresses

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_DAYS = ("-days", "30")
CA = PKI / "ca.crt"
SERVICE_ACCOUNT_KEY = PKI / "service-account.key"

# Who each is to the API server (kubernetes.io/docs/setup/best-practices/certificates).
_USERS = {
    "admin": ("kubernetes-admin", "system:masters"),
    "kube-apiserver-client": ("kube-apiserver-client", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
}


def make() -> None:
    """The authority, the control plane's certificates, and a kubeconfig for each of its users."""
    PKI.mkdir(parents=True)
    _openssl("req", "-x509", *_KEY, *_DAYS, "-subj", "/CN=weft-e2e", "-keyout", str(_key("ca")), "-out", str(CA))
    # The API server takes elliptic curve keys in this form only (SEC 1).
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(SERVICE_ACCOUNT_KEY))
    inside = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}")
    _sign("kube-apiserver", ("kube-apiserver", ""), inside, ("127.0.0.1", API_SERVICE, *gateway_addresses()))
    for name, user in _USERS.items():
        _sign(name, user)
        _write_kubeconfig(name)


def make_node(node: NodeLayout) -> None:
    """One certificate with which the kubelet is both a client and a server, and its kubeconfig."""
    if not _certificate(node.name).exists():
        _sign(node.name, (f"system:node:{node.name}", "system:nodes"), (node.name,), node.addresses)
        _write_kubeconfig(node.name)


def certificate(name: str) -> tuple[str, str]:
    """Paths of a certificate and its key."""
    return str(_certificate(name)), str(_key(name))


def kubeconfig(name: str) -> Path:
    """Complete in itself: it may be copied anywhere."""
    return PKI / f"{name}.kubeconfig"


def _sign(name: str, user: tuple[str, str], dns: Iterable[str] = (), addresses: Iterable[str] = ()) -> None:
    common, organization = user
    subject = (f"/O={organization}" if organization else "") + f"/CN={common}"
    names = ",".join((*(f"DNS:{each}" for each in dns), *(f"IP:{each}" for each in addresses)))
    extensions = ["extendedKeyUsage=clientAuth,serverAuth", "basicConstraints=critical,CA:FALSE"]
    if names:
        extensions.append(f"subjectAltName={names}")
    signer = ("-CA", str(CA), "-CAkey", str(_key("ca")))
    flags = [word for extension in extensions for word in ("-addext", extension)]
    out = ("-keyout", str(_key(name)), "-out", str(_certificate(name)))
    _openssl("req", "-x509", *_KEY, *_DAYS, *signer, "-subj", subject, *flags, *out)


def _write_kubeconfig(name: str) -> None:
    user = {"client-certificate-data": _base64(_certificate(name)), "client-key-data": _base64(_key(name))}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": {"server": API_URL, "certificate-authority-data": _base64(CA)}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": name}}],
        "current-context": "e2e",
    }
    path = kubeconfig(name)
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1))


def _certificate(name: str) -> Path:
    return PKI / f"{name}.crt"


def _key(name: str) -> Path:
    return PKI / f"{name}.key"


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _openssl(*arguments: str) -> None:
    done = subprocess.run(("openssl", *arguments), capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(arguments)}: {done.stderr.strip()}")
