"""The `ovs` package, imported without what it does not need.

Its poller imports eventlet where that is installed (it comes with os-ken), only to ask whether the standard library
was patched: 25 MB of memory and 0.1 s for nothing, and a deprecation warning on stderr. Weft patches nothing. The
other modules here take the package from this one, so that the order of imports does not matter.
"""

import sys


def _without(module: str) -> bool:
    """Make importing `module` fail for now; whether there is something to undo."""
    if module in sys.modules:
        return False
    sys.modules[module] = None  # type: ignore[assignment]
    return True


_HIDDEN = [module for module in ("eventlet", "gevent") if _without(module)]
try:
    import ovs.db.idl as idl
    import ovs.json as json
    import ovs.jsonrpc as jsonrpc
    import ovs.reconnect as reconnect
    import ovs.stream as stream
    import ovs.timeval as timeval
finally:
    for _module in _HIDDEN:
        del sys.modules[_module]

from ovsdb.wire import Parser  # noqa: E402

if json.PARSER != json.PARSER_C:
    # The library's own switch to a faster parser knows only its C extension.
    json.Parser = Parser

__all__ = ["idl", "json", "jsonrpc", "reconnect", "stream", "timeval"]
