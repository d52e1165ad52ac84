"""The binary COPY encoder against PostgreSQL itself: whatever goes in comes back."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kapman_resources.database import binary_copy

COLUMNS: dict[str, tuple[str, Any]] = {
    "place": ("integer", pl.Int32()),
    "price": ("double precision", pl.Float64()),
    "count": ("bigint", pl.Int64()),
    "small": ("smallint", pl.Int16()),
    "flag": ("boolean", pl.Boolean()),
    "day": ("date", pl.Date()),
    "at": ("timestamp with time zone", pl.Datetime("us", "UTC")),
    "name": ("text", pl.String()),
    "symbol": ("character varying", pl.String()),
    "phase": ("character", pl.String()),
}
SQL_TYPES = [sql_type for sql_type, _ in COLUMNS.values()]
SCHEMA = {name: kind for name, (_, kind) in COLUMNS.items()}

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
rows = st.lists(
    st.tuples(
        st.floats(width=64) | st.none(),
        st.integers(-(2**63), 2**63 - 1) | st.none(),
        st.integers(-(2**15), 2**15 - 1) | st.none(),
        st.booleans() | st.none(),
        st.dates() | st.none(),
        st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC))
        | st.none(),
        texts | st.none(),
        texts | st.sampled_from(["NA", "TRUE", "null", "\\N", ""]) | st.none(),
        st.sampled_from(["A", "E", "é", "\U0001f600"]) | st.none(),
    ),
    max_size=40,
)


@pytest.fixture(scope="module")
def connection(postgres_server: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_server.get_uri("postgres"), options="-c timezone=UTC") as opened:
        listed = ", ".join(
            f"{name} {'varchar(60)' if name == 'symbol' else 'char(1)' if name == 'phase' else sql_type}"
            for name, (sql_type, _) in COLUMNS.items()
        )
        opened.execute(f"CREATE TEMPORARY TABLE through ({listed})")
        yield opened
        opened.rollback()


def through_postgres(connection: psycopg.Connection[Any], frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    names = ", ".join(frame.columns)
    connection.execute("TRUNCATE through")
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY through ({names}) FROM STDIN (FORMAT binary)") as copy,
    ):
        for block in binary_copy.encode(frame, [COLUMNS[name][0] for name in frame.columns]):
            copy.write(block)
    return connection.execute(f"SELECT {names} FROM through ORDER BY place").fetchall()


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        both_nan = math.isnan(left) and math.isnan(right)
        return both_nan or struct.pack("d", left) == struct.pack("d", right)
    return left == right


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows)
def test_every_value_of_every_type_comes_back_as_it_went_in(
    connection: psycopg.Connection[Any], values: list[tuple[Any, ...]]
) -> None:
    sent = [(place, *row) for place, row in enumerate(values)]
    back = through_postgres(connection, pl.DataFrame(sent, schema=SCHEMA, orient="row"))
    assert len(back) == len(sent)
    for row, original in zip(back, sent, strict=True):
        assert all(map(same, row, original)), (row, original)


def test_the_extremes_of_floating_point_and_of_time_come_back(connection: psycopg.Connection[Any]) -> None:
    floats = [0.0, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan, 0.1, None]
    frame = pl.DataFrame(
        {
            "place": range(9),
            "price": floats,
            "day": [date.min, date.max, date(2000, 1, 1), date(1999, 12, 31)] + [None] * 5,
            "at": [datetime(1999, 12, 31, 23, 59, 59, 999999, UTC), datetime(2000, 1, 1, tzinfo=UTC)]
            + [None] * 7,
        },
        schema={name: SCHEMA[name] for name in ("place", "price", "day", "at")},
    )
    back = through_postgres(connection, frame)
    assert all(all(map(same, row, original)) for row, original in zip(back, frame.rows(), strict=True))


def test_an_empty_frame_is_a_valid_stream_of_no_rows(connection: psycopg.Connection[Any]) -> None:
    assert through_postgres(connection, pl.DataFrame(schema=SCHEMA)) == []


def test_a_frame_in_several_chunks_and_other_zones_and_units_is_sent_whole(
    connection: psycopg.Connection[Any],
) -> None:
    at = datetime(2026, 3, 9, 4, tzinfo=UTC)
    parts = [
        pl.DataFrame({"place": [i], "at": [at], "name": [f"row {i}"], "count": [None]}).with_columns(
            pl.col("at").dt.convert_time_zone("America/New_York").dt.cast_time_unit("ns"), pl.col("count")
        )
        for i in range(3)
    ]
    frame = pl.concat(parts, rechunk=False)
    assert frame.n_chunks() == 3
    assert through_postgres(connection, frame) == [(i, at, f"row {i}", None) for i in range(3)]


def test_columns_of_only_nulls_need_no_type_of_their_own(connection: psycopg.Connection[Any]) -> None:
    frame = pl.DataFrame({"place": [1]}).with_columns(
        pl.lit(None).alias(name) for name in COLUMNS if name != "place"
    )
    assert through_postgres(connection, frame) == [(1, *[None] * 9)]


def test_a_nul_character_is_refused_with_the_name_of_its_column() -> None:
    with pytest.raises(ValueError, match="column 'name' holds a NUL character"):
        binary_copy.encode(pl.DataFrame({"name": ["fine", "a\0b"]}), ["text"])


def test_a_type_without_an_encoding_is_refused_with_the_name_of_its_column() -> None:
    assert not binary_copy.is_encodable("jsonb")
    with pytest.raises(ValueError, match="column 'evidence': type 'jsonb'"):
        binary_copy.encode(pl.DataFrame({"evidence": ["{}"]}), ["jsonb"])


def test_a_number_that_does_not_fit_is_refused_and_not_wrapped() -> None:
    with pytest.raises(pl.exceptions.InvalidOperationError):
        binary_copy.encode(pl.DataFrame({"small": [40_000]}), ["smallint"])
