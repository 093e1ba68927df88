"""New inputs of old ones: JSON changed as JSON, requests as requests, so that most get past the first check."""

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from cni.frame import MAX_VARIABLES, FrameError, Request, RequestParser, encode_request
from cni.result import SUPPORTED_VERSIONS

Check = Callable[[bytes], None]
Mutate = Callable[[bytes], bytes]
"""Any change of bytes: libFuzzer's, or a random one."""

KEYS = (
    *("cniVersion", "name", "type", "prevResult", "runtimeConfig", "args", "cni", "dns", "ipam", "ips", "mac", "IPS"),
    *("interfaces", "routes", "dst", "gw", "address", "gateway", "interface", "ip4", "ip6", "ip", "mtu", "scope"),
    *("nameservers", "domain", "search", "options", "servers", "searches", "ipMasq", "table", "priority", "advmss"),
    *("cni.dev/attachments", "cni.dev/valid-attachments", "containerID", "ifname", "sandbox", "socketPath", "pciID"),
    *("portMappings", "bandwidth", "ipRanges", "aliases", "deviceID", "infinibandGUID", "K8S_POD_NAME", "version"),
    *("K8S_POD_NAMESPACE", "K8S_POD_UID", "K8S_POD_INFRA_CONTAINER_ID", "", "\0", "é", "x" * 300),
    *(
        "ingressRate",
        "ingressBurst",
        "egressRate",
        "egressBurst",
        "io.kubernetes.cri.pod-annotations",
        "a",
        "default",
    ),
    *("addressPools", "subnet", "rangeStart", "rangeEnd"),
)
TEXTS = (
    *("10.0.0.5/32", "fd00::5/128", "10.0.0.1", "fd00::1", "::/0", "0.0.0.0/0", "fe80::1%eth0/64", "10.0.0.5/33"),
    *("10.0.0.0/24", "10.0.0.0/8", "fd00::/64", "10.0.0.9", "fe80::1%x"),
    *("1.2.3.4/255.0.0.0", "::ffff:1.2.3.4/96", "010.0.0.1/8", "aa:bb:cc:dd:ee:ff", "01:00:00:00:00:00"),
    *("00:00:00:00:00:00", "weft", "eth0", "a", "", ".", "..", "/", "\0", "\u2028", "\ufeff", "é", "\U0001f600"),
    *("1" * 5000, "x" * 5000, "/" * 300, "'" * 3000, "\x7f" * 4000, "1.0", "1.0.0.0", "v1.0.0", *SUPPORTED_VERSIONS),
)
RAW = (
    *(
        "1e999",
        "-1e999",
        "1e-999",
        "-0",
        "-0.0",
        "1.5",
        "true",
        "null",
        "[]",
        "{}",
        '""',
        "0",
        "-1",
        "253",
        "8",
        "1000000",
    ),
    *(str(2**32 - 1), str(2**32), str(2**63), str(2**64), str(-(2**63) - 1), "9" * 5000, "0." + "9" * 400),
    *('"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\\ud83d\\ude00"', '"\ufeff"', "[" * 90 + "]" * 90),
    *("[" * 3000 + "]" * 3000, '{"a":' * 3000 + "1" + "}" * 3000, "NaN", "Infinity", "01", "'a'", "[1,]"),
)
"""JSON as text, for what a decoded value cannot say; some of it is none."""

ENVIRONMENT = (
    *("CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH", "CNI_NETNS_OVERRIDE"),
    *("CNI_", "CNI_X", "CNI_\udcff"),
)
VALUES = (
    *("ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", "add", "", "a", "eth0", "/var/run/netns/x", "\udcff", "\0"),
    *("A=1;B=2", ";;", "=", "A", "IP=10.0.0.5", "IP=10.0.0.5,fd00::5;MAC=aa:bb:cc:dd:ee:ff", "MAC=x", "\n", "é" * 8),
    *("K8S_POD_NAMESPACE=a;K8S_POD_NAME=b", "K8S_POD_NAME=_", "1", "true", "/opt/cni/bin", "x" * 16, "x" * 5000),
)


class _Raw(str):
    """Text that goes into JSON as it is."""


Pairs = list[tuple[str, Any]]
"""An object: pairs, because a key may come twice. Marked by the class `_Object`."""


class _Object(Pairs):
    pass


def mutated_request(data: bytes, random: Random, plain: Mutate) -> bytes:
    """Another request: variables and configuration changed. Bytes that are no request are changed as bytes."""
    try:
        request = RequestParser().feed(data)
    except FrameError:
        request = None
    if request is None:
        return plain(data)
    env, stdin = dict(request.env), request.stdin
    for _ in range(random.choice((1, 1, 2, 4))):
        if random.random() < 0.3:
            _change_environment(env, random)
        else:
            stdin = mutated_json(stdin, random, plain)
    return _encoded(env, stdin, data)


def _encoded(env: dict[str, str], stdin: bytes, otherwise: bytes) -> bytes:
    try:
        return encode_request(Request(dict(list(env.items())[:MAX_VARIABLES]), stdin))
    except FrameError:
        return otherwise


def _change_environment(env: dict[str, str], random: Random) -> None:
    name = random.choice((*ENVIRONMENT, *env))
    how = random.random()
    if how < 0.2:
        env.pop(name, None)
    elif how < 0.7:
        env[name] = random.choice(VALUES)
    else:
        env[name] = _changed_text(env.get(name, ""), random)


def mutated_json(data: bytes, random: Random, plain: Mutate) -> bytes:
    """Another JSON document. One in eight changes, and all of what is no JSON, are changes of bytes."""
    if random.random() < 0.125:
        return plain(data)
    try:
        root = json.loads(data, object_pairs_hook=_Object)
        return _written(_changed(root, random)).encode(errors="surrogatepass")
    except (ValueError, RecursionError):
        return plain(data)


def _changed(root: Any, random: Random) -> Any:
    """`root` with one node changed, in place where that is possible."""
    places = [(None, 0), *_places(root)]
    parent, key = random.choice(places)
    if parent is None:
        return _replacement(root, random, places)
    how = random.random()
    if how < 0.15:
        del parent[key]
    elif how < 0.3:
        parent.insert(random.randrange(len(parent) + 1), parent[key])
    elif how < 0.45 and isinstance(parent, _Object):
        parent[key] = (random.choice(KEYS), parent[key][1])
    else:
        _set(parent, key, _replacement(_get(parent, key), random, places))
    return root


def _places(node: Any) -> Iterator[tuple[Any, int]]:
    """Every list and object with every index into it."""
    if isinstance(node, list):
        for index in range(len(node)):
            yield node, index
            yield from _places(_get(node, index))


def _get(parent: Any, index: int) -> Any:
    return parent[index][1] if isinstance(parent, _Object) else parent[index]


def _set(parent: Any, index: int, value: Any) -> None:
    parent[index] = (parent[index][0], value) if isinstance(parent, _Object) else value


def _replacement(node: Any, random: Random, places: list[tuple[Any, int]]) -> Any:
    how = random.random()
    if how < 0.25 and isinstance(node, str):
        return _changed_text(node, random)
    if how < 0.4 and isinstance(node, list):
        return _extended(node, random)
    if how < 0.5:
        return random.choice(([node], _Object([(random.choice(KEYS), node)])))
    if how < 0.6 and len(places) > 1:
        return json.loads(_written(_get(*random.choice(places[1:]))), object_pairs_hook=_Object)
    return random.choice((random.choice(TEXTS), _Raw(random.choice(RAW))))


def _extended(node: list[Any], random: Random) -> list[Any]:
    new: Any = random.choice((random.choice(TEXTS), _Raw(random.choice(RAW)), _Object(), []))
    if isinstance(node, _Object):
        return _Object([*node, (random.choice(KEYS), new)])
    return [*node, new]


def _changed_text(text: str, random: Random) -> str:
    at = random.randrange(len(text) + 1)
    middle = random.choice(("", ".", "é", "\udcff", chr(random.randrange(128)), random.choice(TEXTS)))
    return text[:at] + middle + text[at + random.randrange(3) :]


def _written(node: Any) -> str:
    if isinstance(node, _Raw):
        return str(node)
    if isinstance(node, _Object):
        return "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{_written(value)}" for key, value in node) + "}"
    if isinstance(node, list):
        return "[" + ",".join(map(_written, node)) + "]"
    return json.dumps(node, ensure_ascii=False)


def changed_bytes(data: bytes, random: Random) -> bytes:
    """A change of bytes without libFuzzer: some replaced, inserted, removed, or the rest cut off."""
    at, how = random.randrange(len(data) + 1), random.randrange(4)
    new = random.choice((b"\xef\xbb\xbf", b"\xed\xa0\x80", b'"', b"{", b"\0", b"\xff", random.randbytes(1)))
    if how == 3:
        return data[:at]
    return data[:at] + (new if how < 2 else b"") + data[at + (0 if how == 0 else random.randrange(1, 4)) :]
