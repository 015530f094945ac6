"""
The words of the configuration language: places, characters, single values.

A `Scanner` goes through one text. What words mean together is for `pynatsd.conf`.
"""

import codecs
import math
import re
from bisect import bisect_right
from datetime import UTC, datetime

from pynatsd.conf_tree import At, ConfError, visible

NEWLINES = ("\n", "\r")
QUOTES = ("'", '"')

_NUMERIC = frozenset("-.0123456789")  # what numbers, dates and addresses begin with

_INT64 = range(-(2**63), 2**63)
_TOLD_MAX = 40  # characters of a word in an error

_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}
_FACTORS: dict[str, int] = {"": 1} | {
    letter + rest: (1024 if rest else 1000) ** power
    for power, letter in enumerate("kmgtpe", 1)
    for rest in ("", "b", "i", "ib")
}

# Possessive: whatever the text, a match never goes back over it.
_BLANKS = re.compile(r"[ \t]*+")
_BLANKS_AND_NEWLINES = re.compile(r"[ \t\r\n]*+")
_SPACE = re.compile(r"(?:[ \t\r\n]++|(?:#|//)[^\r\n]*+)*+")
_KEY = re.compile(r"[^ \t\r\n=:{]*+")
_KEY_IN_MAP = re.compile(r"[^ \t\r\n=:{}]*+")
_ESCAPE = r'\\(?:[tnr"\\]|x[0-9A-Fa-f]{2})'
_WORD = re.compile(rf"(?:[^ \t\r\n,;\]'\\]++|{_ESCAPE})*+")
_WORD_IN_MAP = re.compile(rf"(?:[^ \t\r\n,;\]}}'\\]++|{_ESCAPE})*+")
_BLOCK_END = re.compile(r"(?<=[\r\n])\)(?=[\r\n]|\Z)")

_DIGITS = re.compile("-?[0-9]++")
_FLOAT = re.compile(r"-?[0-9]++\.[0-9]++")
_ADDRESS = re.compile(r"-?[0-9]++\.[0-9]++\.[0-9.:]*+")
# Not if a letter follows: `10s` is text.
_INTEGER = re.compile(r"(-?)0*+([0-9]*+)((?ai:[kmgtpe](?:ib|i|b)?+)?+)(?![^\W\d])")
_DATE = "0000-00-00T00:00:00Z"  # for each 0 any digit


Plain = str | int | float | bool | datetime


class Scanner:
    """
    One text, and how far it has been read.

    *opened*: where the brackets and quotes are that have not been closed yet.
    *is_secret*: the value being read must not show in an error.

    Raises:
        ConfError: the text is not UTF-8, or has a NUL character.
    """

    def __init__(self, data: bytes, file: str) -> None:
        data = data.removeprefix(codecs.BOM_UTF8)
        good = len(data)
        try:
            self._text = data.decode()
        except UnicodeDecodeError as error:
            good = error.start
            self._text = data[:good].decode()
        self.file = file
        self.pos = 0
        self.opened: list[int] = []
        self.is_secret = False
        self._lines = [0, *(found.end() for found in re.finditer("\n", self._text))]
        if (nul := self._text.find("\0")) >= 0:
            raise self.error("NUL characters are not allowed", nul)
        if good < len(data):
            raise self.error("not valid UTF-8", len(self._text))

    # ---- places ----

    def at(self, pos: int | None = None) -> At:
        """The place of *pos*, or of what comes next."""
        pos = self.pos if pos is None else pos
        line = bisect_right(self._lines, pos)
        return At(self.file, line, pos - self._lines[line - 1] + 1)

    def error(self, text: str, pos: int | None = None) -> ConfError:
        """What is wrong at *pos*, or with what comes next."""
        pos = self.pos if pos is None else pos
        if not self.peek(pos) and self.opened:
            start = self.at(self.opened[-1])
            text = (
                f"{text.removesuffix('.')}. The {self.shown(self.opened[-1])} "
                f"of line {start.line}, column {start.column} is not closed."
            )
        at = self.at(pos)
        return ConfError(at.file, at.line, at.column, text)

    def peek(self, pos: int | None = None) -> str:
        """The character at *pos*, or the next one; "" at the end."""
        pos = self.pos if pos is None else pos
        return self._text[pos : pos + 1]

    def shown(self, pos: int | None = None) -> str:
        """The same, as an error shows it."""
        return f"'{visible(self.peek(pos)) or 'EOF'}'"

    def told(self, word: str) -> str:
        """A word of the value being read, as an error shows it."""
        if self.is_secret:
            return "'...'"
        rest = "..." if len(word) > _TOLD_MAX else ""
        return f"'{visible(word[:_TOLD_MAX])}{rest}'"

    # ---- what stands between values ----

    def skip_blanks(self, *, newlines: bool = False) -> None:
        self._take(_BLANKS_AND_NEWLINES if newlines else _BLANKS)

    def skip_space(self) -> None:
        """Blanks, newlines and comments."""
        self._take(_SPACE)

    def is_comment(self) -> bool:
        return self._text.startswith(("#", "//"), self.pos)

    def take(self, *characters: str) -> bool:
        """Take the next character if it is one of these."""
        if self.peek() not in characters:
            return False
        self.pos += 1
        return True

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self.pos)
        assert found is not None  # the patterns given may match nothing, but match
        self.pos = found.end()
        return found[0]

    # ---- keys and text ----

    def key(self, *, in_map: bool) -> str:
        return self._take(_KEY_IN_MAP if in_map else _KEY)

    def quoted(self) -> str:
        """Text up to the same quote. There are no escapes."""
        return self._enclosed(self._text.find(self.peek(), self.pos + 1))

    def block(self) -> str:
        """Text from `(` to a line that is nothing but `)`."""
        found = _BLOCK_END.search(self._text, self.pos)
        return self._enclosed(found.start() if found else -1)

    def _enclosed(self, end: int) -> str:
        start = self.pos
        if end < 0:
            self.opened.append(start)
            raise self.error("Unexpected EOF.", len(self._text))
        self.pos = end + 1
        return self._text[start + 1 : end]

    def word(self, *, in_map: bool) -> str:
        """Bare text. Escapes are checked, and stay as they are written."""
        word = self._take(_WORD_IN_MAP if in_map else _WORD)
        if self.peek() == "\\":
            raise self._bad_escape()
        self.take("'")  # ends the text, too
        return word

    def _bad_escape(self) -> ConfError:
        pos = self.pos + 1
        if self.peek(pos) != "x":
            return self.error(
                f"Invalid escape character {self.shown(pos)}. Only the following "
                'escape characters are allowed: \\xXX, \\t, \\n, \\r, \\", \\\\.',
                pos,
            )
        pos += 1
        if re.match("[0-9A-Fa-f]", self.peek(pos)):
            pos += 1
        return self.error(
            "Expected two hexadecimal digits after '\\x', "
            f"but got {self.shown(pos)} instead.",
            pos,
        )

    # ---- bare values ----

    def bare(self, *, in_map: bool) -> tuple[Plain, str]:
        """A value without quotes, and the same as it is written."""
        start = self.pos
        if self.peek() in _NUMERIC:
            number = self._number()
            if number is not None:
                return number, self._text[start : self.pos]
        word = self.word(in_map=in_map)
        return _BOOLEANS.get(word.lower(), word), word

    def _number(self) -> Plain | None:
        """Also what begins like one: dates, addresses. None: `10s`, which is text."""
        digits = _DIGITS.match(self._text, self.pos)
        if digits is None:
            raise self._no_digit()
        following = self.peek(digits.end())
        if following == "-" and not digits[0].startswith("-"):
            return self._date(digits.end())
        if following != ".":
            return self._integer()
        if _ADDRESS.match(self._text, self.pos):
            return self._take(_ADDRESS)
        if not _FLOAT.match(self._text, self.pos):
            pos = digits.end() + 1
            raise self.error(
                "Floats must have a digit after the '.', "
                f"but got {self.shown(pos)} instead.",
                pos,
            )
        return self._float()

    def _no_digit(self) -> ConfError:
        if self.peek() == ".":
            return self.error("Floats must start with a digit")
        pos = self.pos + 1
        if self.peek(pos) == ".":
            return self.error("Floats must start with a digit, not '.'.", pos)
        return self.error(f"Expected a digit but got {self.shown(pos)}.", pos)

    def _integer(self) -> int | None:
        found = _INTEGER.match(self._text, self.pos)
        if found is None:
            return None
        sign, digits, suffix = found.groups()
        # 20 digits are out of range; Python refuses to convert thousands.
        value = int(digits[:20] or "0") * _FACTORS[suffix.lower()]
        if sign:
            value = -value
        if value not in _INT64:
            raise self.error(f"Integer {self.told(found[0])} is out of the range.")
        self.pos = found.end()
        return value

    def _float(self) -> float:
        start = self.pos
        word = self._take(_FLOAT)
        value = float(word)
        if math.isinf(value):
            raise self.error(f"Float {self.told(word)} is out of the range.", start)
        return value

    def _date(self, dash: int) -> datetime:
        start = self.pos
        if dash != start + _DATE.index("-"):
            text = "All ISO8601 dates must be in full Zulu form."
            raise self.error(text, dash)
        for pos, expected in enumerate(_DATE, start):
            what = "digit" if expected == "0" else f"'{expected}'"
            if re.sub("[0-9]", "0", self.peek(pos)) != expected:
                raise self.error(
                    f"Expected {what} in ISO8601 datetime, "
                    f"but found {self.shown(pos)} instead.",
                    pos,
                )
        self.pos = start + len(_DATE)
        word = self._text[start : self.pos]
        try:
            return datetime.strptime(word, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise self.error(
                f"Expected Zulu formatted DateTime, but got {self.told(word)}.", start
            ) from None
