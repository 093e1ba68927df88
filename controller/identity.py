"""Identities: classes of pods that no rule can tell apart."""

from collections.abc import Set
from hashlib import blake2b

from kube.objects import Pod
from openflow.fields import IdentityId

UNKNOWN = IdentityId(0)


def identity_of(pod: Pod, keys: Set[str] = frozenset()) -> IdentityId:
    """The pod's identity: namespace and labels, projected onto the label keys that some selector mentions.

    The id is a 64-bit BLAKE2b digest of that canonical form: every replica computes the same without asking.
    """
    projected = sorted((key, value) for key, value in pod.meta.labels.items() if key in keys)
    text = "\0".join((pod.meta.namespace, *(f"{key}={value}" for key, value in projected)))
    return IdentityId(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") or 1)
