"""Target: requests as commands (`cni.netconf`, and `cni.requested` and `cni.fields` behind it)."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from random import Random

from cni.errors import CniError
from cni.frame import FrameError, Request, RequestParser
from cni.netconf import Add, Command, Del, Gc, Status, Version, error_version, parse
from cni.netconf import Check as CheckCommand
from cni.result import SUPPORTED_VERSIONS, render
from fuzz.laws import REFUSALS, demand, demand_error
from fuzz.mutate import Check, Mutate, mutated_request


@contextmanager
def opened() -> Iterator[Check]:
    yield check


def mutate(data: bytes, random: Random, plain: Mutate) -> bytes:
    return mutated_request(data, random, plain)


def check(data: bytes) -> None:
    """The request in the frame `data` is a command, or a CNI error that can be printed. Other bytes are ignored."""
    request = framed(data)
    if request is not None:
        check_request(request)


def framed(data: bytes) -> Request | None:
    try:
        return RequestParser().feed(data)
    except FrameError:
        return None


def check_request(request: Request) -> None:
    version = error_version(request.stdin)
    try:
        command = parse(request.env, request.stdin)
    except CniError as refusal:
        demand_error(refusal.to_json(version), REFUSALS)
        return
    _check_command(request, command)
    if not isinstance(command, Version):
        demand(command.conf.cni_version == version, "errors have the version of the configuration")


def _check_command(request: Request, command: Command) -> None:
    """What the agent takes for granted of a command."""
    match command:
        case Add() | CheckCommand() | Del():
            _check_attachment(command)
        case Gc():
            demand(all(all(pair) for pair in command.valid or ()), "no attachment without container and interface")
        case Status() | Version():
            pass
    if isinstance(command, CheckCommand):
        demand(command.conf.prev_result is not None, "CHECK has the result of the ADD")
    if isinstance(command, Add):
        _check_requested(command)
    demand(type(command).__name__.upper() == request.env["CNI_COMMAND"], "the command is the one that was asked for")


def _check_requested(command: Add) -> None:
    families = [ip.version for ip in command.requested.ips]
    demand(len(set(families)) == len(families), "at most one address of a family")
    for each in (*command.requested.ranges.ranges, *chain(*command.conf.pools.values())):
        demand(each.first.version == each.last.version and int(each.first) <= int(each.last), "a range has an order")
    for limit in (command.requested.bandwidth.ingress, command.requested.bandwidth.egress):
        demand(limit is None or min(limit) >= 8, "a limit is one that the kernel can keep")


def _check_attachment(command: Add | CheckCommand | Del) -> None:
    attachment, conf = command.attachment, command.conf
    demand(bool(attachment.container and attachment.ifname and conf.name), "an attachment has a key")
    demand(len(attachment.ifname.encode()) <= 15, "an interface name fits the kernel")
    demand(isinstance(command, Del) or bool(attachment.netns), "a namespace is given")
    demand(conf.cni_version in SUPPORTED_VERSIONS, "the version is supported")
    if conf.prev_result is not None:
        _check_printable(command)


def _check_printable(command: Add | CheckCommand | Del) -> None:
    """An earlier result is printed again, if this version can tell it."""
    conf = command.conf
    try:
        demand(conf.prev_result is not None and render(conf.prev_result, conf.cni_version) != b"", "a result is text")
    except CniError as e:
        demand_error(e.to_json(conf.cni_version), REFUSALS)
