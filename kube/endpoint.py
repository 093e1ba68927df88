"""Where the API server is and how to prove who we are: a URL, a service account, or a kubeconfig.

The official package reads kubeconfigs (it knows exec plugins, OIDC, proxies) and is imported for nothing else:
it costs 18 MB of memory, a fifth of what an agent may use. Inside a cluster three files and two variables say
everything; their names are a stable contract ("Accessing the Kubernetes API from a Pod").
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.util.ssl_ import create_urllib3_context, resolve_cert_reqs

from kube.errors import ConfigError

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

# A watch is silent for minutes. Keepalive finds a dead peer in 30 s, where TCP alone would wait for hours.
_SOCKET_OPTIONS = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]
_POOL_SIZE = 8  # one per watched kind, and a few for short requests
_POOL: Mapping[str, Any] = {"maxsize": _POOL_SIZE, "retries": False, "socket_options": _SOCKET_OPTIONS}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's base URL, a connection pool for it, and the authorization header as of each call."""

    server: str
    pool: urllib3.PoolManager
    authorize: Callable[[], Mapping[str, str]]


def chosen(api_server: str | None, kubeconfig: str | None) -> Endpoint:
    """The server that a daemon's settings name: a URL, else a kubeconfig, else the cluster it runs in.

    Raises ConfigError.
    """
    if api_server:
        return from_url(api_server)
    return from_kubeconfig(kubeconfig) if kubeconfig else in_cluster()


def from_url(url: str) -> Endpoint:
    """An API server that asks for no credentials, such as the lab's or `kubectl proxy`."""
    parsed = urllib3.util.parse_url(url)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"API server {url!r}: give a URL such as http://127.0.0.1:8001")
    return Endpoint(url.rstrip("/"), urllib3.PoolManager(**_POOL), dict)


def in_cluster(account: Path = _ACCOUNT, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """The API server of the cluster this process runs in, as the pod's service account.

    The token is read again for each request: the kubelet replaces it while we run.
    """
    try:
        host, port = environ["KUBERNETES_SERVICE_HOST"], environ["KUBERNETES_SERVICE_PORT"]
    except KeyError as error:
        raise ConfigError(
            f"not in a cluster: {error.args[0]} is not set; give a kubeconfig or a server URL"
        ) from None
    token, authority = account / "token", account / "ca.crt"
    for path in (token, authority):
        if not path.is_file():
            raise ConfigError(f"{path} is missing: the pod needs automountServiceAccountToken: true")
    pool = urllib3.PoolManager(ca_certs=str(authority), cert_reqs="CERT_REQUIRED", **_POOL)
    _accept_usual_certificates(pool)
    bracketed = f"[{host}]" if ":" in host else host
    return Endpoint(f"https://{bracketed}:{port}", pool, lambda: _bearer(token))


def from_kubeconfig(path: str | None = None, context: str | None = None) -> Endpoint:
    """The server of a kubeconfig: `path`, else $KUBECONFIG, else ~/.kube/config; its current context or `context`.

    Raises ConfigError.
    """
    from kubernetes.client.configuration import Configuration
    from kubernetes.client.rest import RESTClientObject
    from kubernetes.config import load_kube_config

    where = f"kubeconfig {path or '(default)'}"
    settings = Configuration()

    def official() -> dict[str, str]:
        """The header as the official package makes it: it renews a token that is about to expire."""
        try:
            auth = settings.auth_settings().get("BearerToken")
        except Exception as error:
            raise ConfigError(f"{where}: {_told(error)}") from error
        return {auth["key"]: auth["value"]} if auth else {}

    try:
        load_kube_config(config_file=path, context=context, client_configuration=settings)
    except Exception as error:  # a file of the wrong shape makes the package stumble in any number of ways
        raise ConfigError(f"{where}: {_told(error)}") from error
    settings.socket_options, settings.connection_pool_maxsize = _SOCKET_OPTIONS, _POOL_SIZE
    pool: urllib3.PoolManager = RESTClientObject(settings).pool_manager
    _accept_usual_certificates(pool)
    return Endpoint(settings.host.rstrip("/"), pool, official)


def _accept_usual_certificates(pool: urllib3.PoolManager) -> None:
    """Verify as OpenSSL does by itself, which is how kubectl's and kubelets' library does too.

    From Python 3.13 on, certificates must keep to RFC 5280 to the letter (VERIFY_X509_STRICT); those that many
    clusters were set up with do not: their authority has no key usage, or their server's does not name its authority.
    """
    context = create_urllib3_context(cert_reqs=resolve_cert_reqs(pool.connection_pool_kw.get("cert_reqs")))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    pool.connection_pool_kw["ssl_context"] = context


def _told(error: Exception) -> str:
    """The package's words on one line, with the kind of error, as some say little without it."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _bearer(token: Path) -> dict[str, str]:
    try:
        return {"Authorization": f"Bearer {token.read_text().strip()}"}
    except OSError as error:
        raise ConfigError(f"service account token: {error}") from error
