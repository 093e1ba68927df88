"""Target: results of earlier plugins (`cni.result.parse_prev_result`), in every version's shape."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import msgspec

from cni.errors import CniError, ErrorCode
from cni.result import SUPPORTED_VERSIONS, Result, parse_prev_result, render
from fuzz.laws import REFUSALS, demand, demand_error
from fuzz.mutate import Check, Mutate, mutated_json


@contextmanager
def opened() -> Iterator[Check]:
    yield check


def mutate(data: bytes, random: Random, plain: Mutate) -> bytes:
    return mutated_json(data, random, plain)


def check(data: bytes) -> None:
    """The JSON in `data`, as a result of the version it says, or of every version if it says none that is known."""
    try:
        obj = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    said = obj.get("cniVersion") if isinstance(obj, dict) else None
    for version in (said,) if said in SUPPORTED_VERSIONS else (*SUPPORTED_VERSIONS, str(said)):
        _check_version(obj, version)


def _check_version(obj: Any, version: str) -> None:
    try:
        result = parse_prev_result(obj, version)
        once = render(result, version)
    except CniError as refusal:
        told = version if version in SUPPORTED_VERSIONS else SUPPORTED_VERSIONS[-1]
        demand_error(refusal.to_json(told), REFUSALS)
        demand(
            version in SUPPORTED_VERSIONS or refusal.code == ErrorCode.INCOMPATIBLE_VERSION,
            "an unknown version is told as such",
        )
        return
    demand(render(parse_prev_result(json.loads(once), version), version) == once, "a printed result is read again")
    _check_extended(result, version)


def _check_extended(result: Result, version: str) -> None:
    """Behind itself, as in a chain, every address still points to an interface that is listed."""
    both = result.behind(result, result.dns)
    known = range(len(both.interfaces))
    demand(all(ip.interface is None or ip.interface in known for ip in both.ips), "addresses have their interfaces")
    parse_prev_result(json.loads(render(both, version)), version)
