"""Tables: aligned columns, and what gives way on a narrow terminal."""

from cli.layout import Column, Heading, Piece, Row, heading, plain, table

COLUMNS = (Column("NAME"), Column("N", right=True), Column("MATCH", fold=True), Column("ACTIONS", fold=True))
LONG = ", ".join(f"field{n}=value{n}" for n in range(8))
MORE = ", ".join(f"set{n}:=1" for n in range(8))


def _text(rows: list[Row | Heading], width: int | None = None, columns: tuple[Column, ...] = COLUMNS) -> list[str]:
    return [plain(line) for line in table(columns, rows, width)]


def test_columns_are_as_wide_as_their_widest_cell_and_numbers_are_right_aligned() -> None:
    rows: list[Row | Heading] = [Row(("a", "1", "any", "drop")), Row(("longer", "10", "ip", "next"))]
    assert _text(rows) == [
        "NAME     N  MATCH  ACTIONS",
        "a        1  any    drop",
        "longer  10  ip     next",
    ]


def test_a_column_without_anything_in_it_is_left_out() -> None:
    assert _text([Row(("a", "", "any", "drop"))]) == ["NAME  MATCH  ACTIONS", "a     any    drop"]


def test_no_line_ends_in_spaces() -> None:
    lines = _text([Row(("a", "1", "any", "")), Row(("a", "1", "any", "drop")), Row(("bbbbbbb", "1", "", ""))])
    assert [line for line in lines if line != line.rstrip()] == []


def test_nothing_is_folded_without_a_width() -> None:
    assert len(_text([Row(("a", "1", LONG, MORE))])) == 2


def test_what_fits_is_not_folded() -> None:
    assert _text([Row(("a", "1", LONG, "drop"))], 200) == _text([Row(("a", "1", LONG, "drop"))])


def test_no_line_is_longer_than_the_terminal_and_no_word_is_lost() -> None:
    rows: list[Row | Heading] = [
        Row(("a", "1", LONG, "drop")),
        Row(("a", "2", "any", MORE)),
        Row(("b", "3", LONG, MORE)),
    ]
    for width in range(80, 200, 7):
        lines = _text(rows, width)
        assert max(map(len, lines)) <= width
        words = " ".join(lines[1:]).split()
        assert [word for word in words if word.startswith("field")] == LONG.split() * 2
        assert [word for word in words if word.startswith("set")] == MORE.split() * 2


def test_a_long_cell_pushes_the_last_one_aside_rather_than_being_folded() -> None:
    rows: list[Row | Heading] = [Row(("a", "1", LONG, "drop")), *[Row(("a", "2", "any", MORE))] * 9]
    lines = _text(rows, 160)
    assert lines[1] == f"a     1  {LONG}  drop"
    assert lines[2].startswith("a     2  any ")
    assert lines[2].endswith(MORE)


def test_a_single_foldable_column_takes_what_the_others_leave() -> None:
    columns = (Column("NODE"), Column("CIDRS", fold=True), Column("END"))
    cidrs = "10.244.1.0/24, fd57:244:0:1::/64, 10.245.1.0/24"
    lines = _text([Row(("node1", cidrs, "x"))], 45, columns)
    assert [len(line) <= 45 for line in lines] == [True] * len(lines)
    assert lines[1].endswith("x")
    assert " ".join(lines[1].split()[1:3]) == "10.244.1.0/24, fd57:244:0:1::/64,"


def test_rows_without_a_foldable_column_are_one_aligned_line_each_however_narrow_the_terminal() -> None:
    columns = (Column("A"), Column("B"))
    lines = _text([Row(("x" * 50, "y " * 50 + "y")), Row(("x", "y"))], 40, columns)
    assert lines[1:] == ["x" * 50 + "  " + "y " * 50 + "y", "x" + " " * 51 + "y"]


def test_headings_go_across_and_do_not_widen_columns() -> None:
    rows: list[Row | Heading] = [heading("a rather long heading, which is no cell"), Row(("a", "1", "m", "d"))]
    assert _text(rows)[1:] == ["a rather long heading, which is no cell", "a     1  m      d"]


def test_a_table_without_titles_has_no_title_line() -> None:
    assert _text([Row(("a", "b"))], None, (Column(""), Column(""))) == ["a  b"]


def test_styles_are_those_of_the_column_and_titles_are_bold() -> None:
    columns = (Column("NAME", "cyan"), Column("DO", lambda text: "red" if text == "drop" else "", fold=True))
    title, first, second = table(columns, [Row(("a", "drop")), Row(("b", "next"))])
    assert {piece.style for piece in title if piece.text.strip()} == {"bold"}
    assert [piece for piece in first if piece.text.strip()] == [Piece("a", "cyan"), Piece("drop", "red")]
    assert second[-1] == Piece("next", "")


def test_a_folded_cell_keeps_its_style_on_every_line() -> None:
    columns = (Column("NAME"), Column("DO", lambda text: "red" if text.startswith("no") else "green", fold=True))
    lines = list(table(columns, [Row(("a", "no: " + "word " * 20))], 40))
    assert len(lines) > 2
    assert {piece.style for line in lines[1:] for piece in line if piece.text.strip() not in ("a", "")} == {"red"}


def test_an_empty_table_is_nothing() -> None:
    assert _text([]) == []
