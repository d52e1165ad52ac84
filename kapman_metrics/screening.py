"""The language of screens: `rsi < 30 and close > sma_200`, read into a tree of conditions over allowed columns.

Whatever is not in the language is an error that knows its place in the text. Does not belong here: which columns there
are, how a tree is answered (kapman_resources.screener).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, NoReturn

from kapman_metrics.screen_words import ScreenError, Token, tokens

Kind = Literal["number", "text"]

MAX_LENGTH = 2000  # characters
MAX_DEPTH = 32  # of parentheses, and of the tree

COMPARISONS = ("<", "<=", ">", ">=", "=", "!=")


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class Column:
    name: str


@dataclass(frozen=True)
class Negative:
    operand: Value


@dataclass(frozen=True)
class Arithmetic:
    """`operator`: + - * /; a division by zero has no value."""

    operator: str
    left: Value
    right: Value


Value = Number | Column | Negative | Arithmetic


@dataclass(frozen=True)
class Comparison:
    """`operator`: one of COMPARISONS, between numbers."""

    operator: str
    left: Value
    right: Value


@dataclass(frozen=True)
class Between:
    """Both ends included."""

    value: Value
    low: Value
    high: Value
    negated: bool


@dataclass(frozen=True)
class IsNull:
    value: Value
    negated: bool


@dataclass(frozen=True)
class OneOf:
    """A text column against words: `=` and `in`, negated `!=` and `not in`."""

    column: Column
    words: tuple[str, ...]
    negated: bool


@dataclass(frozen=True)
class Not:
    operand: Condition


@dataclass(frozen=True)
class And:
    operands: tuple[Condition, ...]


@dataclass(frozen=True)
class Or:
    operands: tuple[Condition, ...]


Condition = Comparison | Between | IsNull | OneOf | Not | And | Or


@dataclass(frozen=True)
class Sort:
    column: str
    descending: bool


def parse(text: str, columns: Mapping[str, Kind]) -> Condition:
    """The condition that the text states; column names and keywords in any case, text values as written.

    Raises ScreenError with the place of the first thing that is not in the language or not in `columns`.
    """
    if len(text) > MAX_LENGTH:
        raise ScreenError(f"a screen may have {MAX_LENGTH} characters, not {len(text)}", text, MAX_LENGTH, 0)
    return _Parser(text, columns).whole()


def parse_sort(text: str, columns: Mapping[str, Kind]) -> Sort:
    """`column`, `column:asc` or `column:desc`; raises ScreenError for anything else."""
    name, colon, order = text.partition(":")
    if name.lower() not in columns:
        raise ScreenError(_unknown(name, columns), text, 0, len(name))
    if order.lower() not in ("asc", "desc") and colon:
        raise ScreenError("after the colon asc or desc is expected", text, len(name) + 1, len(text))
    return Sort(name.lower(), order.lower() == "desc")


def columns_of(node: Condition | Value) -> list[str]:
    """The columns a condition speaks of, each once, in the order of the text."""
    match node:
        case Column(name):
            found = [name]
        case Number():
            found = []
        case Not(operand) | Negative(operand):
            found = columns_of(operand)
        case Comparison(_, left, right) | Arithmetic(_, left, right):
            found = [*columns_of(left), *columns_of(right)]
        case Between(value, low, high, _):
            found = [*columns_of(value), *columns_of(low), *columns_of(high)]
        case IsNull(value, _):
            found = columns_of(value)
        case OneOf(column, _, _):
            found = [column.name]
        case And(operands) | Or(operands):
            found = [name for operand in operands for name in columns_of(operand)]
    return list(dict.fromkeys(found))


def _unknown(name: str, columns: Mapping[str, Kind]) -> str:
    close = get_close_matches(name.lower(), columns, n=3, cutoff=0.6)
    return f"unknown column {name!r}" + (f": did you mean {' or '.join(close)}?" if close else "")


@dataclass(frozen=True)
class _Part:
    """A piece of the tree, what it is, where it stands, how deep it goes."""

    node: Condition | Value
    kind: Literal["number", "text", "condition"]
    start: int
    end: int
    depth: int = 1


class _Parser:
    """Recursive descent, one method for each level of precedence, loosest first."""

    def __init__(self, text: str, columns: Mapping[str, Kind]) -> None:
        self._text, self._columns = text, columns
        self._tokens = tokens(text)
        self._at = 0
        self._open = 0

    def whole(self) -> Condition:
        if len(self._tokens) == 1:
            raise ScreenError("the screen is empty: write for example rsi < 30", self._text, 0, 0)
        found = self._any_of()
        if self._next.kind != "end":
            self._fail(f"expected and, or or the end instead of {self._next.shown}", self._next)
        return self._condition(found)

    # -- conditions

    def _any_of(self) -> _Part:
        return self._joined("or", self._all_of, Or)

    def _all_of(self) -> _Part:
        return self._joined("and", self._negation, And)

    def _joined(self, word: str, operand: Callable[[], _Part], node: type[And] | type[Or]) -> _Part:
        parts = [operand()]
        while self._takes_keyword(word):
            parts.append(operand())
        if len(parts) == 1:
            return parts[0]
        return self._made(node(tuple(self._condition(part) for part in parts)), "condition", *parts)

    def _negation(self) -> _Part:
        token = self._next
        if not self._takes_keyword("not"):
            return self._comparison()
        with_parts = self._nested(self._negation, token)
        return self._made(Not(self._condition(with_parts)), "condition", with_parts, start=token.start)

    def _comparison(self) -> _Part:
        left = self._sum()
        sign = self._next
        if sign.kind == "sign" and sign.text in COMPARISONS:
            self._at += 1
            return self._against_words(left, sign) if left.kind == "text" else self._compared(left, sign)
        negated = sign.keyword == "not" and self._tokens[self._at + 1].keyword in ("between", "in")
        self._at += negated
        if self._takes_keyword("between"):
            return self._between(left, negated)
        if self._takes_keyword("in"):
            return self._in_list(left, negated)
        if self._takes_keyword("is"):
            negated = self._takes_keyword("not")
            if not self._takes_keyword("null"):
                self._fail(f"expected null instead of {self._next.shown}", self._next)
            return self._made(IsNull(self._value(left, text=True), negated), "condition", left)
        return left

    def _compared(self, left: _Part, sign: Token) -> _Part:
        right = self._sum()
        node = Comparison(sign.text, self._value(left), self._value(right))
        if self._next.kind == "sign" and self._next.text in COMPARISONS:
            self._fail("comparisons do not chain: write 20 < rsi and rsi < 30, or between", self._next)
        return self._made(node, "condition", left, right)

    def _between(self, value: _Part, negated: bool) -> _Part:
        low = self._sum()
        if not self._takes_keyword("and"):
            self._fail(f"expected and instead of {self._next.shown}: between 20 and 30", self._next)
        high = self._sum()
        node = Between(self._value(value), self._value(low), self._value(high), negated)
        return self._made(node, "condition", value, low, high)

    def _against_words(self, left: _Part, sign: Token) -> _Part:
        if sign.text not in ("=", "!="):
            self._fail(f"text has no order: use =, != or in instead of {sign.text}", sign)
        return self._one_of(left, (self._word(),), sign.text == "!=")

    def _in_list(self, left: _Part, negated: bool) -> _Part:
        if left.kind != "text":
            self._fail("in needs a text column before it, for example symbol in (AAPL, MSFT)", left)
        self._take("(")
        words = [self._word()]
        while self._takes(","):
            words.append(self._word())
        self._take(")")
        return self._one_of(left, tuple(words), negated)

    def _one_of(self, left: _Part, words: tuple[str, ...], negated: bool) -> _Part:
        assert isinstance(left.node, Column)
        return self._made(OneOf(left.node, words, negated), "condition", left)

    def _word(self) -> str:
        """To the right of a text column a bare word is text, a column's name or a keyword too."""
        token = self._next
        if token.kind not in ("word", "text"):
            self._fail(f"expected a text such as 'AAPL' instead of {token.shown}", token)
        self._at += 1
        return token.text

    # -- values

    def _sum(self) -> _Part:
        return self._chain("+-", self._product)

    def _product(self) -> _Part:
        return self._chain("*/", self._unary)

    def _chain(self, signs: str, operand: Callable[[], _Part]) -> _Part:
        left = operand()
        while self._next.kind == "sign" and self._next.text in signs:
            sign = self._next.text
            self._at += 1
            right = operand()
            left = self._made(Arithmetic(sign, self._value(left), self._value(right)), "number", left, right)
        return left

    def _unary(self) -> _Part:
        token = self._next
        if not self._takes("-"):
            return self._atom()
        operand = self._nested(self._unary, token)
        return self._made(Negative(self._value(operand)), "number", operand, start=token.start)

    def _atom(self) -> _Part:
        token = self._next
        self._at += 1
        if token.kind == "number":
            return self._number(token)
        if token.kind == "word" and token.keyword is None:
            kind = self._columns.get(token.text.lower())
            if kind is None:
                self._fail(_unknown(token.text, self._columns), token)
            return _Part(Column(token.text.lower()), kind, token.start, token.end)
        if token.text == "(" and token.kind == "sign":
            inner = self._nested(self._any_of, token)
            self._take(")")
            return inner
        if token.kind == "text":
            self._fail("a text can only stand after a text column: symbol = 'AAPL'", token)
        self._fail(f"expected a column, a number or ( instead of {token.shown}", token)

    def _number(self, token: Token) -> _Part:
        value = float(token.text)
        if value == float("inf"):
            self._fail("this number is too large", token)
        return _Part(Number(value), "number", token.start, token.end)

    # -- what is shared

    @property
    def _next(self) -> Token:
        return self._tokens[min(self._at, len(self._tokens) - 1)]

    def _takes(self, sign: str) -> bool:
        found = self._next.kind == "sign" and self._next.text == sign
        self._at += found
        return found

    def _take(self, sign: str) -> None:
        if not self._takes(sign):
            self._fail(f"expected {sign} instead of {self._next.shown}", self._next)

    def _takes_keyword(self, word: str) -> bool:
        found = self._next.keyword == word
        self._at += found
        return found

    def _nested(self, inner: Callable[[], _Part], token: Token) -> _Part:
        self._open += 1
        if self._open > MAX_DEPTH:
            self._fail(f"more than {MAX_DEPTH} levels deep", token)
        found = inner()
        self._open -= 1
        return found

    def _made(
        self,
        node: Condition | Value,
        kind: Literal["number", "condition"],
        *parts: _Part,
        start: int | None = None,
    ) -> _Part:
        depth = 1 + max(part.depth for part in parts)
        begin = parts[0].start if start is None else start
        made = _Part(node, kind, begin, self._tokens[self._at - 1].end, depth)
        if depth > MAX_DEPTH:
            self._fail(
                f"more than {MAX_DEPTH} levels deep: split the screen, or shorten its arithmetic", made
            )
        return made

    def _condition(self, part: _Part) -> Condition:
        if part.kind != "condition" or isinstance(part.node, Value):
            self._fail("expected a condition such as rsi < 30", part)
        return part.node

    def _value(self, part: _Part, *, text: bool = False) -> Value:
        if isinstance(part.node, Value) and (part.kind == "number" or text):
            return part.node
        if part.kind == "text":
            self._fail("this column is text and has no number: use =, != or in", part)
        self._fail("expected a number or a column, not a condition", part)

    def _fail(self, reason: str, place: Token | _Part) -> NoReturn:
        raise ScreenError(reason, self._text, place.start, place.end)
