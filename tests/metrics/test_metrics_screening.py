"""The language of screens: what it reads, what it refuses, and that every refusal knows its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screen_trees import COLUMNS, conditions, stated

from kapman_metrics.screen_words import ScreenError
from kapman_metrics.screening import (
    MAX_DEPTH,
    MAX_LENGTH,
    And,
    Arithmetic,
    Between,
    Column,
    Comparison,
    Not,
    Number,
    OneOf,
    Or,
    Sort,
    columns_of,
    parse,
    parse_sort,
)

LOW_RSI = Comparison("<", Column("rsi"), Number(30.0))
HIGH = Comparison(">", Column("close"), Column("sma_200"))


def refusal(text: str) -> ScreenError:
    with pytest.raises(ScreenError) as caught:
        parse(text, COLUMNS)
    return caught.value


@given(conditions)
def test_a_tree_is_read_back_from_the_text_that_states_it(tree) -> None:
    assert parse(stated(tree), COLUMNS) == tree


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(
    ["rsi", "close", "symbol", "<", "<=", "=", "and", "or", "not", "(", ")", "30", "in", "between", "is", "null", "'A'",
     ",", "-", "/", ";", "--", "$1", "%s", "pg_sleep", "drop", "\x00"]), max_size=14).map(" ".join)))  # fmt: skip
def test_any_text_is_a_screen_or_an_error_with_a_place_in_it(text: str) -> None:
    try:
        tree = parse(text, COLUMNS)
    except ScreenError as error:
        assert 0 <= error.start <= len(text)
        assert error.start < error.end
        assert f"position {error.start + 1}" in str(error)
        _, line, mark = error.explained().split("\n")
        assert len(line) <= 98
        assert mark.strip() == "^" * len(mark.strip())
    else:
        assert set(columns_of(tree)) <= set(COLUMNS)
        assert parse(stated(tree), COLUMNS) == tree


def test_and_binds_closer_than_or_and_not_closer_than_both() -> None:
    tree = parse("not rsi < 30 and close > sma_200 or RSI<30", COLUMNS)
    assert tree == Or((And((Not(LOW_RSI), HIGH)), LOW_RSI))
    assert parse("rsi < 30 and (close > sma_200 or rsi < 30)", COLUMNS) == And((LOW_RSI, Or((HIGH, LOW_RSI))))


def test_arithmetic_reads_from_the_left_and_products_first() -> None:
    tree = parse("close - 1 - 2 * 3 > 0", COLUMNS)
    inner = Arithmetic("-", Column("close"), Number(1.0))
    product = Arithmetic("*", Number(2.0), Number(3.0))
    assert tree == Comparison(">", Arithmetic("-", inner, product), Number(0.0))
    assert parse("(close - 1) / 2 > 0", COLUMNS) == Comparison(
        ">", Arithmetic("/", inner, Number(2.0)), Number(0.0)
    )


def test_the_and_of_between_belongs_to_between() -> None:
    tree = parse("rsi between 20 and 30 and close > sma_200", COLUMNS)
    assert tree == And((Between(Column("rsi"), Number(20.0), Number(30.0), False), HIGH))


@pytest.mark.parametrize(
    ("text", "words", "negated"),
    [
        ("symbol in (AAPL, BRK.B, 'BF-B')", ("AAPL", "BRK.B", "BF-B"), False),
        ("symbol not in (ON, ALL, not)", ("ON", "ALL", "not"), True),
        ("symbol = rsi", ("rsi",), False),
        ('symbol != "say ""a"""', ('say "a"',), True),
    ],
)
def test_behind_a_text_column_bare_words_are_text(text: str, words: tuple[str, ...], negated: bool) -> None:
    assert parse(text, COLUMNS) == OneOf(Column("symbol"), words, negated)


def test_the_columns_of_a_screen_come_once_and_in_the_order_of_the_text() -> None:
    tree = parse("rvol > 2 and not (rsi / close < 1 or symbol = 'A') and rsi > 1", COLUMNS)
    assert columns_of(tree) == ["rvol", "rsi", "close", "symbol"]


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("", 1, "empty"),
        ("rsi < ", 7, "the end"),
        ("rsii < 30", 1, "did you mean rsi"),
        ("close > sma200", 9, "did you mean sma_200"),
        ("rsi < 30 rvol > 2", 10, "expected and, or or the end"),
        ("rsi == 30", 5, "write ="),
        ("rsi < 30 && rvol > 2", 10, "write and"),
        ("rsi < 30; drop table tickers", 9, "';'"),
        ("rsi < 30 -- comment", 13, "unknown column"),
        ("rsi", 1, "expected a condition"),
        ("rsi and close", 1, "expected a condition"),
        ("20 < rsi < 30", 10, "do not chain"),
        ("(rsi < 30) + 1 > 2", 2, "not a condition"),
        ("wyckoff_phase < 'C'", 15, "no order"),
        ("wyckoff_phase + 1 > 2", 1, "text"),
        ("'AAPL' = symbol", 1, "after a text column"),
        ("close in (1, 2)", 1, "text column"),
        ("symbol in ()", 12, "expected a text"),
        ("symbol = 'AAPL", 10, "never closed"),
        ("symbol = 'A\x00'", 10, "cannot be printed"),
        ("close > 10M", 9, "a number is written"),
        ("close > 1e999", 9, "too large"),
        ("close > 0x10", 9, "a number is written"),
        ("abs(close) > 1", 1, "unknown column 'abs'"),
        ("rsi is 30", 8, "expected null"),
        ("rsi between 20, 30", 15, "expected and"),
        ("close > $1", 9, "not of this language"),
        ("(rsi < 30", 10, "expected )"),
    ],
)  # fmt: skip
def test_what_is_not_in_the_language_is_named_with_its_place(text: str, place: int, says: str) -> None:
    error = refusal(text)
    assert error.start + 1 == place
    assert says in str(error)


def test_the_caret_stands_under_the_place_even_in_a_long_text() -> None:
    text = " and ".join(["rsi < 30"] * 30) + " and rsii < 30"
    _, line, mark = refusal(text).explained().split("\n")
    assert line[mark.index("^") : mark.rindex("^") + 1] == "rsii"


def test_length_and_depth_are_limited() -> None:
    assert "2000 characters" in str(refusal("rsi < 30 or " * 200 + "rsi < 30"))
    for deep in ("(" * 400, "not " * 300, "-" * 900, "close" + " + 1" * 300 + " > 0"):
        assert len(deep) <= MAX_LENGTH
        assert f"{MAX_DEPTH} levels" in str(refusal(deep))


def test_a_sort_is_a_column_and_a_direction() -> None:
    assert parse_sort("RSI", COLUMNS) == Sort("rsi", False)
    assert parse_sort("rsi:desc", COLUMNS) == Sort("rsi", True)
    for text, place in (("rsii", 1), ("rsi:down", 5), ("rsi; drop", 1), ("", 1)):
        with pytest.raises(ScreenError) as caught:
            parse_sort(text, COLUMNS)
        assert caught.value.start + 1 == place
