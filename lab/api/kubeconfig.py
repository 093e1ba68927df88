"""The kubeconfig of the lab, for kubectl, for the official clients and for Weft's own programs."""

from typing import Any


def kubeconfig(url: str, name: str = "weft-lab") -> dict[str, Any]:
    """A kubeconfig (v1 Config) for an API at `url` that asks for no credentials; write it as YAML or JSON."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url}}],
        "users": [{"name": name, "user": {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "current-context": name,
        "preferences": {},
    }
