"""Random screens as trees, the text that states a tree, and its truth on a frame by polars: an oracle of its own."""

from __future__ import annotations

import polars as pl
from hypothesis import strategies as st

from kapman_metrics import screening as s

NUMBERS = ("close", "rsi", "rvol", "sma_200", "bc_score")
TEXTS = ("symbol", "wyckoff_phase")
COLUMNS: dict[str, s.Kind] = {**{n: "number" for n in NUMBERS}, **{n: "text" for n in TEXTS}}

_numbers = st.one_of(
    st.integers(0, 60).map(float), st.floats(0, 1e6).map(lambda x: round(x, 3)), st.just(0.0)
)
_words = st.sampled_from(["A", "B", "C", "AAPL", "BRK.B", "close", "not", "it's", 'a "b"', "x y", "%s", "{}"])
_columns = st.sampled_from(NUMBERS).map(s.Column)
_texts = st.sampled_from(TEXTS).map(s.Column)

values = st.recursive(
    st.one_of(_numbers.map(s.Number), _columns),
    lambda inner: st.one_of(
        inner.map(s.Negative), st.builds(s.Arithmetic, st.sampled_from("+-*/"), inner, inner)
    ),
    max_leaves=4,
)
_predicates = st.one_of(
    st.builds(s.Comparison, st.sampled_from(s.COMPARISONS), values, values),
    st.builds(s.Between, values, values, values, st.booleans()),
    st.builds(s.IsNull, st.one_of(values, _texts), st.booleans()),
    st.builds(s.OneOf, _texts, st.lists(_words, min_size=1, max_size=4).map(tuple), st.booleans()),
)
conditions = st.recursive(
    _predicates,
    lambda inner: st.one_of(
        inner.map(s.Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: s.And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: s.Or(tuple(parts))),
    ),
    max_leaves=5,
)


def stated(node: s.Condition | s.Value) -> str:
    """A text of the tree, every part in parentheses."""
    match node:
        case s.Number(value):
            return repr(value)
        case s.Column(name):
            return name
        case s.Negative(operand):
            return f"(- {stated(operand)})"
        case s.Arithmetic(operator, left, right) | s.Comparison(operator, left, right):
            return f"({stated(left)} {operator} {stated(right)})"
        case s.Between(value, low, high, negated):
            word = "NOT between" if negated else "between"
            return f"({stated(value)} {word} {stated(low)} and {stated(high)})"
        case s.IsNull(value, negated):
            return f"({stated(value)} is {'not ' if negated else ''}null)"
        case s.OneOf(column, words, negated):
            quoted = ", ".join("'" + word.replace("'", "''") + "'" for word in words)
            return f"({column.name}{' not' if negated else ''} in ({quoted}))"
        case s.Not(operand):
            return f"(not {stated(operand)})"
        case s.And(operands):
            return "(" + " and ".join(map(stated, operands)) + ")"
        case s.Or(operands):
            return "(" + " OR ".join(map(stated, operands)) + ")"


def truth(node: s.Condition) -> pl.Expr:
    """Three-valued: null where a value that decides is missing."""
    match node:
        case s.Comparison(operator, left, right):
            one, other = number(left), number(right)
            return {
                "<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other, "=": one == other,
                "!=": one != other,
            }[operator]  # fmt: skip
        case s.Between(value, low, high, negated):
            inside = (number(value) >= number(low)) & (number(value) <= number(high))
            return ~inside if negated else inside
        case s.IsNull(value, negated):
            known = pl.col(value.name) if isinstance(value, s.Column) else number(value)
            return known.is_not_null() if negated else known.is_null()
        case s.OneOf(column, words, negated):
            found = pl.col(column.name).is_in(list(words))
            return ~found if negated else found
        case s.Not(operand):
            return ~truth(operand)
        case s.And(operands):
            return pl.all_horizontal(map(truth, operands))
        case s.Or(operands):
            return pl.any_horizontal(map(truth, operands))


def number(node: s.Value) -> pl.Expr:
    match node:
        case s.Number(value):
            return pl.lit(value)
        case s.Column(name):
            return pl.col(name)
        case s.Negative(operand):
            return -number(operand)
        case s.Arithmetic(operator, left, right):
            one, other = number(left), number(right)
            return {
                "+": one + other, "-": one - other, "*": one * other,
                "/": one / pl.when(other != 0).then(other),
            }[operator]  # fmt: skip
