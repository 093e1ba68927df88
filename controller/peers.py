"""Whom the controller talks to over TLS: the agents' switches and databases, by their certificates. Pure.

Here is where names per node would be told apart: the certificate's names are all that is known of a peer before it
has said anything.
"""

from daemon.certificates import AGENT_NAME


def stranger(names: frozenset[str]) -> str:
    """Why the holder of a certificate with these DNS names is no node of ours; "" when it is one.

    That the certificate is valid and of a known authority has been seen to.
    """
    if AGENT_NAME in names:
        return ""
    has = ", ".join(sorted(names)) or "none"
    return f"its certificate has not the DNS name {AGENT_NAME} (subjectAltName) but {has}: it is no node's"
