"""Random flows over every field and action that Weft has, and random bytes that look like flows of others."""

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from openflow.actions import (
    CT_CLEAR,
    LAST_GROUP,
    Action,
    Conjunction,
    Copy,
    Ct,
    DecTtl,
    Goto,
    Group,
    Meter,
    Nat,
    NatRange,
    Output,
    OutputReg,
    SetField,
)
from openflow.codec import Encoded
from openflow.fields import LAYOUT, Slice, Zone
from openflow.flow import Flow
from openflow.groups import Bucket, GroupEntry, GroupKind
from openflow.match import Match, Term
from openflow.oxm import FIELDS, Field
from openflow.tables import Table

fields = st.sampled_from(FIELDS)


def masks(on: Field) -> st.SearchStrategy[int]:
    return st.just(on.full) | st.integers(0, on.full)


@st.composite
def terms(draw, on: st.SearchStrategy[Field] = fields) -> Term:
    field = draw(on)
    mask = draw(masks(field))
    return Term(field, draw(st.integers(0, field.full)) & mask, mask)


def matches() -> st.SearchStrategy[Match]:
    """Canonical in form (one term a field, in order); prerequisites do not matter to bytes."""
    unique = st.lists(terms(), unique_by=lambda term: term.field.name, max_size=6)
    return unique.map(lambda chosen: tuple(sorted(chosen, key=lambda term: term.field.rank)))


set_fields = terms().map(lambda term: SetField(term.field, term.value, term.mask))


@st.composite
def copies(draw) -> Copy:
    source, target = draw(fields), draw(fields)
    shared = min(source.bits, target.bits)
    some = st.integers(1, shared if source.bits != target.bits else shared - 1) if shared > 1 else st.just(1)
    return Copy(
        source, target, draw(some if source.bits != target.bits else st.none() | some) if shared > 1 else None
    )


@st.composite
def slices(draw) -> Slice:
    field = draw(fields)
    low = draw(st.integers(0, field.bits - 1))
    width = draw(st.integers(1, min(64, field.bits - low)))
    named = (part for part in LAYOUT if (part.stored, part.low, part.width) == (field, low, width))
    return next(named, Slice(int, field, low, width))


@st.composite
def nat_ranges(draw) -> NatRange:
    number = draw(st.sampled_from((IPv4Address, IPv6Address)))
    limit = 2**32 - 1 if number is IPv4Address else 2**128 - 1
    first = draw(st.integers(1, limit - 1))
    last = draw(st.none() | st.integers(first + 1, limit).map(number))
    ports = draw(st.none() | st.tuples(st.integers(1, 0xFFFF), st.integers(1, 0xFFFF)).map(sorted).map(tuple))
    return NatRange(number(first), last, ports)


nats = st.just(Nat()) | nat_ranges().map(lambda to: Nat(src=to)) | nat_ranges().map(lambda to: Nat(dst=to))


@st.composite
def cts(draw) -> Ct:
    commit = draw(st.booleans())
    sets = draw(st.lists(set_fields, max_size=3)) if commit else ()
    return Ct(
        draw(st.sampled_from(Zone)),
        draw(st.none() | st.sampled_from(Table)),
        commit=commit,
        nat=draw(st.none() | nats if commit else st.sampled_from((None, Nat()))),
        sets=tuple(sets),
        force=commit and draw(st.booleans()),
    )


@st.composite
def conjunctions(draw) -> Conjunction:
    clauses = draw(st.integers(2, 64))
    return Conjunction(draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, clauses)), clauses)


group_numbers = st.integers(0, LAST_GROUP)


output_regs = (st.sampled_from(LAYOUT) | slices()).map(OutputReg)
outputs = st.integers(0, 0xFFFFFFFF).map(Output)
# os-ken's parser of copy_field takes the padding for a third field and fails: these are what both sides read.
readable_actions: st.SearchStrategy[Action] = st.one_of(
    set_fields, st.just(DecTtl()), outputs, output_regs, cts(), st.just(CT_CLEAR), conjunctions(),
    group_numbers.map(Group), st.integers(1, 0xFFFF0000).map(Meter),
)  # fmt: skip
actions: st.SearchStrategy[Action] = copies() | readable_actions


@st.composite
def flows(draw, action: st.SearchStrategy[Action] = actions) -> Flow:
    """Any flow that the values can express, whether or not a pipeline would allow it."""
    done = draw(st.lists(action, max_size=5))
    goto = draw(st.none() | st.sampled_from(Table).map(Goto))
    return Flow(
        table=draw(st.integers(0, 254)),
        priority=draw(st.integers(0, 0xFFFF)),
        match=draw(matches()),
        actions=(*done, *([goto] if goto else [])),
        cookie=draw(st.integers(0, 2**64 - 1)),
    )


@st.composite
def group_entries(draw, action: st.SearchStrategy[Action] = actions) -> GroupEntry:
    kind = draw(st.sampled_from(GroupKind))
    weights = st.integers(1, 0xFFFF) if kind is GroupKind.SELECT else st.just(1)
    # os-ken forgets the padding at a bucket's end; what ends in an output has none.
    done = st.lists(action, max_size=3).map(lambda chosen: (*chosen, Output(7)))
    one = st.builds(Bucket, group_numbers, done | st.just(()), weights)
    buckets = draw(st.lists(one, unique_by=lambda bucket: bucket.number, max_size=4))
    return GroupEntry(draw(group_numbers), kind, tuple(buckets))


@st.composite
def foreign_oxms(draw) -> bytes:
    """A well-formed OXM TLV of any class, field and length; sometimes one of ours with odd content."""
    header = draw(st.binary(min_size=3, max_size=3) | fields.map(lambda on: on.plain[:3]) | st.just(b"\x80\x00\x09"))
    payload = draw(st.binary(max_size=40))
    return header + bytes([len(payload)]) + payload


@st.composite
def foreign_actions(draw) -> bytes:
    """A well-formed action of any type, extensions with random subtypes among them."""
    kind = draw(
        st.binary(min_size=2, max_size=2) | st.sampled_from((0, 22, 24, 25, 28, 29)).map(lambda n: bytes([0, n]))
    )
    body = draw(st.binary(min_size=4, max_size=60))
    if draw(st.booleans()):
        kind, body = (
            b"\xff\xff",
            b"\x00\x00\x23\x20\x00" + bytes([draw(st.sampled_from((1, 15, 34, 35, 36, 43)))]) + body,
        )
    body += bytes(-(len(body) + 4) % 8)
    return kind + (len(body) + 4).to_bytes(2, "big") + body


@st.composite
def foreign_flows(draw) -> Encoded:
    """Bytes of a flow that another controller may have installed: any fields, any actions, perhaps a goto."""
    key = bytes([draw(st.integers(0, 255))]) + draw(st.binary(min_size=2, max_size=2))
    applied = b"".join(draw(st.lists(foreign_actions(), min_size=1, max_size=4)))
    apply = b"\x00\x04" + (len(applied) + 8).to_bytes(2, "big") + bytes(4) + applied
    goto = b"\x00\x01\x00\x08" + bytes([draw(st.integers(0, len(Table) - 1))]) + bytes(3)
    instructions = draw(st.sampled_from((b"", apply, goto, apply + goto)))
    return Encoded(
        key + b"".join(draw(st.lists(foreign_oxms(), max_size=4))),
        draw(st.binary(min_size=8, max_size=8)) + instructions,
    )
