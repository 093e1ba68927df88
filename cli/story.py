"""A traced packet's way as rows of a table: node by node, table by table, in words. Pure."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from cli.flows import action_style
from cli.journey import Leg, Verdict
from cli.layout import Column, Heading, Line, Piece, Row, heading
from cli.packet import tunnel_target
from cli.trace_text import Hit, Pass
from openflow.render import table_title
from ovsdb.rows import TUNNEL_PORT

_INDENT = "  "


def columns() -> tuple[Column, ...]:
    """The columns of `rows`; a story needs no titles."""
    return (
        Column("", "cyan"),
        Column("", "green"),
        Column("", fold=True),
        Column("", action_style, fold=True),
    )


def rows(legs: Iterable[Leg]) -> Iterator[Row | Heading]:
    """The steps of every leg: table, whose flow it was, what it matched, what it did."""
    for leg in legs:
        by = leg.names.port(leg.packet.in_port)
        yield Heading((Piece(leg.view.node, "bold"), Piece(f", in by {by}")))
        for each in leg.passes:
            yield from _pass(leg, each)
        yield from _way_out(leg)
        yield heading("")


def conclusion(verdict: Verdict) -> Line:
    """The verdict as the last line."""
    return (Piece(verdict.sentence, "bold green" if verdict.delivered else "bold red"),)


def _pass(leg: Leg, each: Pass) -> Iterator[Row | Heading]:
    if each.state:
        # What conntrack would say is not looked up: a trace assumes it.
        flags = each.state.replace("trk|", "").replace("|trk", "").replace("|", ", ")
        yield heading(f"{_INDENT}conntrack says: {flags}", "yellow")
    own = [hit for hit in each.hits if hit.bridge == leg.view.bridge.name]
    for idle, hits in groupby(own, _passes_by):
        if idle:
            titles = ", ".join(table_title(hit.table) for hit in hits)
            yield heading(f"{_INDENT}{titles}: nothing to do", "dim")
        else:
            yield from (_step(leg, hit) for hit in hits)


def _passes_by(hit: Hit) -> bool:
    """Whether a table let the packet through to the next one because none of its flows applied."""
    return hit.match == "" and len(hit.steps) == 1 and hit.steps[0].action == f"goto_table:{hit.table + 1}"


def _step(leg: Leg, hit: Hit) -> Row:
    words = leg.words(hit)
    return Row((f"{_INDENT}{words.table}", words.owner, words.match, words.actions))


def _way_out(leg: Leg) -> Iterator[Heading]:
    port = leg.outcome.port
    if port is None:
        return
    name = leg.names.port(port)
    onward = f", through the tunnel to {tunnel_target(leg.final)}" if name == TUNNEL_PORT else ""
    yield heading(f"{_INDENT}out by {name}{onward}")
