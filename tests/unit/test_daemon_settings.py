"""Settings: one declaration gives the file's keys, the flags, the help and the documentation."""

from __future__ import annotations

import enum
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from daemon.settings import SettingsError, document, load, parse


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """An example daemon."""

    node: Annotated[str, Meta(description="Name of the Node.", min_length=1)]
    tunnel_port: Annotated[int, Meta(description="UDP port.", ge=1, le=65535)] = 6081
    ratio: Annotated[float, Meta(description="A share | part.", gt=0, lt=1)] = 0.5
    tunnel: Annotated[Literal["geneve", "vxlan"], Meta(description="100% of the overlay.")] = "geneve"
    masquerade: Annotated[bool, Meta(description="Hide pods behind the node.")] = True
    tunnel_ip: Annotated[IPv4Address | IPv6Address | None, Meta(description="Outer address.")] = None
    gateway: IPv4Address | None = None
    skip: Annotated[tuple[IPv4Network | IPv6Network, ...], Meta(description="Not masqueraded.")] = ()
    names: tuple[str, ...] = ("a", "b")
    socket: Annotated[Path, Meta(description="Where to listen.")] = Path("/run/x.sock")
    colour: Colour = Colour.RED

    def __post_init__(self) -> None:
        if self.tunnel == "vxlan" and self.tunnel_port == 6081:
            raise ValueError("tunnel-port: 6081 is Geneve's; with tunnel vxlan give 4789")


class Plain(msgspec.Struct, frozen=True):
    """Nothing is required."""

    mtu: Annotated[int | None, Meta(description="Bytes.")] = None


def reading(text: str) -> Callable[[str], str]:
    return lambda _path: text


def of_file(text: str, *flags: str) -> Example:
    return parse(Example, ["--config", "f.yaml", *flags], prog="x", read=reading(text))


def error(*argv: str, text: str = "") -> str:
    with pytest.raises(SettingsError) as caught:
        parse(Example, argv, prog="x", read=reading(text))
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestSources:
    def test_defaults(self) -> None:
        assert parse(Example, ["--node", "w1"], prog="x") == Example(node="w1")

    def test_every_type_from_flags(self) -> None:
        argv = [
            *("--node", "w1", "--tunnel-port", "4789", "--ratio", "0.25", "--tunnel", "vxlan"),
            *("--masquerade=false", "--tunnel-ip", "fd00::1", "--gateway", "10.0.0.1"),
            *("--skip", "10.0.0.0/8, fd00::/8", "--names", "x,y", "--socket", "/a/b", "--colour", "blue"),
        ]
        assert parse(Example, argv, prog="x") == Example(
            node="w1",
            tunnel_port=4789,
            ratio=0.25,
            tunnel="vxlan",
            masquerade=False,
            tunnel_ip=ip_address("fd00::1"),
            gateway=IPv4Address("10.0.0.1"),
            skip=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
            names=("x", "y"),
            socket=Path("/a/b"),
            colour=Colour.BLUE,
        )

    def test_every_type_from_a_file(self) -> None:
        text = """
            node: w1
            tunnel-port: 4789
            ratio: 0.25
            tunnel: vxlan
            masquerade: false
            tunnel-ip: 192.0.2.1
            gateway: null
            skip: [10.0.0.0/8]
            names: []
            socket: /a/b
            colour: blue
        """
        assert of_file(text) == Example(
            node="w1",
            tunnel_port=4789,
            ratio=0.25,
            tunnel="vxlan",
            masquerade=False,
            tunnel_ip=ip_address("192.0.2.1"),
            skip=(ip_network("10.0.0.0/8"),),
            names=(),
            socket=Path("/a/b"),
            colour=Colour.BLUE,
        )

    def test_flags_beat_the_file(self) -> None:
        assert of_file("node: file\ntunnel-port: 1", "--node", "flag") == Example(node="flag", tunnel_port=1)

    def test_an_empty_file_is_fine(self) -> None:
        assert of_file("# nothing\n", "--node", "w1") == Example(node="w1")

    def test_a_switch_needs_no_value(self) -> None:
        assert of_file("masquerade: false", "--node", "w1", "--masquerade").masquerade

    def test_the_last_of_a_repeated_flag_counts(self) -> None:
        assert parse(Example, ["--node", "a", "--node", "b"], prog="x").node == "b"

    def test_a_real_file(self, tmp_path: Path) -> None:
        (tmp_path / "f.yaml").write_text("mtu: 1400\n")
        assert parse(Plain, ["--config", str(tmp_path / "f.yaml")], prog="x") == Plain(1400)


class TestErrors:
    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            (("--tunnel-port", "65536"), "--tunnel-port: 65536 is not allowed; give a whole number, at least 1"),
            (("--tunnel-port", "many"), "--tunnel-port: many is not allowed; give a whole number"),
            (("--tunnel", "gre"), "--tunnel: gre is not allowed; give one of geneve, vxlan"),
            (("--masquerade=maybe",), "--masquerade: maybe is not allowed; give true or false"),
            (("--tunnel-ip", "x"), "--tunnel-ip: x is not allowed; give an IPv4 or IPv6 address"),
            (("--gateway", "::1"), "--gateway: ::1 is not allowed; give an IPv4 address"),
            (("--skip", "10.0.0.1/8"), "--skip: 10.0.0.1/8 is not allowed; give a list, each an IPv4 or IPv6 net"),
            (("--colour", "green"), "--colour: green is not allowed; give one of red, blue"),
            (("--ratio", "1"), "--ratio: 1 is not allowed; give a number, above 0"),
            (("--node", ""), "--node: empty is not allowed; give text"),
            (("--node",), "argument --node: expected one argument"),
            (("--bogus", "1"), "unrecognized arguments: --bogus 1 (--help lists what there is)"),
            (("--tunnel-p", "1"), "unrecognized arguments: --tunnel-p 1"),
            (("stray",), "unrecognized arguments: stray"),
            ((), "required and not given: node (in the file, or --node VALUE)"),
        ],
    )
    def test_a_wrong_flag(self, argv: tuple[str, ...], message: str) -> None:
        assert message in error(*argv)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("tunnel-prot: 1", "f.yaml: 'tunnel-prot' is not a setting; did you mean tunnel-port?"),
            ("tunnelPort: 1", "'tunnelPort' is not a setting; did you mean tunnel-port?"),
            ("tunnel_port: 1", "'tunnel_port' is not a setting; did you mean tunnel-port?"),
            ("zzz: 1", "'zzz' is not a setting; allowed: node, tunnel-port, ratio"),
            ("7: 1", "'7' is not a setting"),
            ("tunnel-port: '6081'", "f.yaml: tunnel-port: 6081 is not allowed; give a whole number"),
            ("tunnel-port: [1]", "tunnel-port: 1 is not allowed"),
            ("tunnel-port: null", "tunnel-port: None is not allowed"),
            ("masquerade: 1", "masquerade: 1 is not allowed; give true or false"),
            ("node: 7", "node: 7 is not allowed; give text"),
            ("tunnel-ip: 7", "tunnel-ip: 7 is not allowed; give an IPv4 or IPv6 address"),
            ("skip: 10.0.0.0/8", "skip: 10.0.0.0/8 is not allowed; give a list"),
            ("- a", "f.yaml: a mapping of settings is needed, not a"),
            ("node: [", "f.yaml: not YAML: "),
            ("node: a\nnode: b", "node is given twice"),
            ("!!python/object/apply:os.system [ls]", "f.yaml: not YAML: "),
            ("? [a]\n: 1", "f.yaml: "),
            ("? {a: 1}\n: 1", "f.yaml: "),
        ],
    )
    def test_a_wrong_file(self, text: str, message: str) -> None:
        assert message.replace("'7'", "7") in error("--node", "w1", "--config", "f.yaml", text=text)

    def test_fields_that_do_not_go_together(self) -> None:
        assert error("--node", "w1", "--tunnel", "vxlan") == (
            "tunnel-port: 6081 is Geneve's; with tunnel vxlan give 4789"
        )

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"--config .*/none: No such file"):
            parse(Plain, ["--config", str(tmp_path / "none")], prog="x")

    def test_a_file_that_is_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(SettingsError, match="not YAML"):
            parse(Plain, ["--config", str(tmp_path / "f")], prog="x")

    def test_a_huge_value_is_cut(self) -> None:
        assert len(error("--tunnel", "x" * 9999)) < 300

    def test_a_field_of_a_type_that_cannot_be_set_is_a_bug(self) -> None:
        class Wrong(msgspec.Struct):
            field: bytes = b""

        with pytest.raises(TypeError, match="settings cannot have the type"):
            document(Wrong)


class TestProcess:
    def test_an_error_is_one_line_and_status_2(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            load(Example, ["--tunnel-port", "x"], prog="weft-example")
        assert caught.value.code == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("weft-example: --tunnel-port: x is not allowed")
        assert err.count("\n") == 1

    def test_help_names_every_setting(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            load(Example, ["--help"], prog="weft-example")
        assert caught.value.code == 0
        text = " ".join(capsys.readouterr().out.split())
        assert "An example daemon." in text
        assert "--tunnel-port VALUE UDP port. Value: a whole number, at least 1 and at most 65535." in text
        assert "100% of the overlay. Value: one of geneve, vxlan. Default: geneve." in text
        assert "Default: required." in text

    def test_it_loads(self) -> None:
        assert load(Plain, ["--mtu", "1400"], prog="x") == Plain(1400)


def test_the_documentation() -> None:
    table = document(Example).splitlines()
    assert table[0] == "| key, `--flag` | value | default | meaning |"
    assert "| `node` | text | required | Name of the Node. |" in table
    assert "| `ratio` | a number, above 0 and below 1 | 0.5 | A share \\| part. |" in table
    assert "| `tunnel-ip` | an IPv4 or IPv6 address | none | Outer address. |" in table
    assert "| `names` | a list, each text | a,b |  |" in table
    assert "| `masquerade` | true or false | true | Hide pods behind the node. |" in table
    assert "| `colour` | one of red, blue | red |  |" in table
    assert len(table) == 2 + 11
