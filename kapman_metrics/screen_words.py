"""The words of a screen's text, and the error that knows its place in it.

Does not belong here: what a sequence of words means (screening.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

KEYWORDS = ("and", "or", "not", "between", "is", "null", "in")


class ScreenError(ValueError):
    """A text that is no screen: `reason`, and the place [start, end) in `text` that it speaks of."""

    def __init__(self, reason: str, text: str, start: int, end: int) -> None:
        super().__init__(f"{reason} (at position {start + 1})")
        self.reason, self.text, self.start, self.end = reason, text, start, max(end, start + 1)

    def explained(self, width: int = 96) -> str:
        """Three lines: the reason, the text around its place, a caret under it."""
        shown = "".join(c if c.isprintable() else " " for c in self.text)
        first = max(0, min(self.start - width // 2, len(shown) - width))
        line = shown[first : first + width]
        marks = "^" * min(self.end - self.start, max(width - (self.start - first), 1))
        return f"{self}\n  {line}\n  {' ' * (self.start - first)}{marks}"


@dataclass(frozen=True)
class Token:
    """`kind`: number, word, text, sign or end; `text` as written, without its quotes."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def keyword(self) -> str | None:
        lowered = self.text.lower()
        return lowered if self.kind == "word" and lowered in KEYWORDS else None

    @property
    def shown(self) -> str:
        return "the end" if self.kind == "end" else repr(self.text)


_FOREIGN = {"==": "=", "<>": "!=", "&&": "and", "&": "and", "||": "or", "|": "or", "!": "not"}
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<word>[A-Za-z_][A-Za-z0-9_.]*)
      | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
      | (?P<foreign>==|<>|&&?|\|\|?|!(?!=))
      | (?P<sign><=|>=|!=|[-+*/<>=(),])""",
    re.VERBOSE,
)


def tokens(text: str) -> list[Token]:
    """The words of the text and an end; raises ScreenError at the first character that begins none."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            _refuse_character(text, at)
        kind, end = str(match.lastgroup), match.end()
        if kind == "foreign":
            raise ScreenError(
                f"{match[0]} is not of this language: write {_FOREIGN[match[0]]}", text, at, end
            )
        if kind == "number" and (following := re.match(r"[A-Za-z0-9_.]+", text[end:])):
            raise ScreenError("a number is written like 30, 0.5 or 1e6", text, at, end + len(following[0]))
        if kind == "text" and not match[0].isprintable():
            raise ScreenError("a quoted text holds a character that cannot be printed", text, at, end)
        if kind != "space":
            found.append(Token(kind, _unquoted(match[0]) if kind == "text" else match[0], at, end))
        at = end
    return [*found, Token("end", "", len(text), len(text))]


def _refuse_character(text: str, at: int) -> NoReturn:
    if text[at] in "'\"":
        raise ScreenError("this quote is never closed", text, at, len(text))
    raise ScreenError(f"{text[at]!r} is not of this language", text, at, at + 1)


def _unquoted(text: str) -> str:
    quote = text[0]
    return text[1:-1].replace(quote * 2, quote)
