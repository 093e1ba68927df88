"""`weft-install` puts on a node what programs of the node need of Weft, or takes it away.

That is the CNI executable and its configuration, and, for an Open vSwitch that is a service of the node, copies of
the agent's certificates. What the agent's init container runs; the host's directories are mounted into it.
"""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence
from pathlib import Path

from cni import conflist

RELAY = Path("/usr/libexec/weft/weft")
TLS_FILES = {"ca.crt": 0o644, "tls.crt": 0o644, "tls.key": 0o600}
"""As in a Secret of type kubernetes.io/tls, with the modes of the copies."""
BIN_DIR, CONF_DIR = Path("/opt/cni/bin"), Path("/etc/cni/net.d")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 with one line on stderr that says what could not be read or written."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.tls_from and not asked.tls_to:
        parser.error("--tls-from needs --tls-to: where do the copies go?")
    try:
        print(_remove(asked) if asked.remove else _install(asked))
    except OSError as e:
        print(f"weft-install: {e.filename or ''}: {e.strerror}; {_REMEDY}", file=sys.stderr)
        return 1
    return 0


_REMEDY = "is it mounted into this container, and may the container read and write it?"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="weft-install", description=__doc__)
    parser.add_argument("--bin-dir", type=Path, default=BIN_DIR, help=f"where executables go ({BIN_DIR})")
    parser.add_argument("--conf-dir", type=Path, default=CONF_DIR, help=f"where configurations go ({CONF_DIR})")
    parser.add_argument("--relay", type=Path, default=RELAY, help=f"the executable to install ({RELAY})")
    parser.add_argument(
        "--conflist", type=Path, help="a configuration list to install (default: one with Weft alone)"
    )
    parser.add_argument("--tls-from", type=Path, help="a directory with ca.crt, tls.crt and tls.key to copy")
    parser.add_argument("--tls-to", type=Path, help="where the copies go")
    parser.add_argument("--remove", action="store_true", help="take it all away; what is not there is fine")
    return parser


def _install(asked: argparse.Namespace) -> str:
    for directory in (asked.bin_dir, asked.conf_dir, asked.tls_to):
        # Made here it would be the container's own, and the node would get nothing.
        if directory and not directory.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "no such directory", str(directory))
    rendered = asked.conflist.read_bytes() if asked.conflist else conflist.render_conflist()
    if asked.tls_from:
        for name, mode in TLS_FILES.items():
            conflist.place(asked.tls_to / name, (asked.tls_from / name).read_bytes(), mode)
    done = conflist.install(asked.relay, rendered, asked.bin_dir, asked.conf_dir)
    return f"{done.plugin} and {done.conflist}: {'installed' if done.changed else 'right already'}"


def _remove(asked: argparse.Namespace) -> str:
    conflist.uninstall(asked.bin_dir, asked.conf_dir)
    if asked.tls_to:
        for name in TLS_FILES:
            (asked.tls_to / name).unlink(missing_ok=True)
    return f"{asked.conf_dir / conflist.CONFLIST_NAME} and {asked.bin_dir / conflist.PLUGIN_NAME}: removed"
