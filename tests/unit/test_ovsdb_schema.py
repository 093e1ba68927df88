"""The schema that sessions register: just the columns asked for, in a form that the library accepts."""

import pytest

from ovsdb.library import idl
from ovsdb.schema import COLUMNS, OWN, WATCH, schema_of


@pytest.mark.parametrize("interest", [WATCH, OWN])
def test_the_library_reads_it(interest):
    helper = idl.SchemaHelper(schema_json=schema_of(interest))
    for table, columns in interest.items():
        helper.register_columns(table, list(columns))
    schema = helper.get_idl_schema()
    assert {name: set(table.columns) for name, table in schema.tables.items()} == {
        table: set(columns) for table, columns in interest.items()
    }


def test_only_the_root_table_is_a_root():
    tables = schema_of(OWN)["tables"]
    assert [name for name, table in tables.items() if table["isRoot"]] == ["Open_vSwitch"]


def test_the_controller_does_not_follow_what_it_does_not_read():
    assert "options" not in WATCH["Interface"]
    assert WATCH["Open_vSwitch"] == ("next_cfg",), "which it counts up, and must know for that"


def test_a_column_that_is_not_known_is_an_error():
    with pytest.raises(KeyError, match="statistics"):
        schema_of({"Interface": ("statistics",)})
    assert "statistics" not in COLUMNS["Interface"]
