"""What adversaries write can be stored on every database."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from app.store.columns import Json, storable
from app.store.tables import metadata

SQLITE = sqlite.dialect()
ANY_TEXT = st.text(alphabet=st.characters(codec=None))


@given(ANY_TEXT)
def test_any_text_becomes_storable_and_stays_so(text: str) -> None:
    stored = storable(text)

    stored.encode()
    assert "\x00" not in stored
    assert storable(stored) == stored


@pytest.mark.parametrize("text", ["", "plain", "naïve ✓ 𝄞", "\u202e\x1b[31m\r"])
def test_ordinary_text_is_untouched(text: str) -> None:
    assert storable(text) == text


def test_what_no_database_takes_is_shown_as_replaced() -> None:
    assert storable("a\x00b") == "a\ufffdb"
    assert storable("a\ud800b") == "a\ufffdb"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT, st.lists, max_leaves=5))
def test_any_json_can_be_stored(value: object) -> None:
    column = Json()
    bound = column.process_bind_param(value, SQLITE)

    if bound is None:
        assert value is None
        return
    bound.encode()
    assert "\x00" not in bound
    assert type(column.process_result_value(bound, SQLITE)) is type(value)


def test_json_keeps_what_json_has_no_word_for() -> None:
    column = Json()
    value = column.process_result_value(column.process_bind_param([math.inf, math.nan], SQLITE), SQLITE)

    assert value[0] == math.inf
    assert math.isnan(value[1])
    assert json.loads(column.process_bind_param({"a": "\x00"}, SQLITE) or "") == {"a": "\x00"}


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_every_table_can_be_written_for_postgresql(table: object) -> None:
    dialect = postgresql.dialect()

    assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))  # type: ignore[arg-type]
    for index in table.indexes:  # type: ignore[attr-defined]
        assert "CREATE INDEX" in str(CreateIndex(index).compile(dialect=dialect))
