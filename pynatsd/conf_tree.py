"""The tree that a configuration is read into: blocks, entries, values, places."""

from dataclasses import dataclass
from datetime import datetime


class ConfError(ValueError):
    """
    A configuration that cannot be used; `str` is "FILE:LINE:COLUMN: TEXT".

    *line* and *column* count from 1; both are 0, and `str` is TEXT alone, for what
    has no place, such as a file that cannot be opened.
    """

    def __init__(self, file: str, line: int, column: int, text: str) -> None:
        super().__init__(f"{visible(file)}:{line}:{column}: {text}" if line else text)
        self.file = file
        self.line = line
        self.column = column
        self.text = text


@dataclass(frozen=True, slots=True)
class At:
    """A place in a configuration; *line* and *column* (characters) count from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Value:
    """
    A value and its place.

    *literal* is a bare value as it is written ("2m", "5k", "yes"); "" for any other.
    """

    data: "str | int | float | bool | datetime | tuple[Value, ...] | Block"
    at: At
    literal: str = ""

    @property
    def kind(self) -> str:
        """What it is, in the words of an error message."""
        return next(word for kind, word in _KINDS if isinstance(self.data, kind))

    def __repr__(self) -> str:
        return f"Value({self.kind}, {self.at})"  # not the data, which may be a secret


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A key with its value.

    *is_used*: some `$variable` refers to it, so it is not a mistyped setting.
    """

    key: str
    at: At
    value: Value
    is_used: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """A map: its entries in the order of the file, doubled keys kept."""

    entries: tuple[Entry, ...]
    at: At


_KINDS: tuple[tuple[type, str], ...] = (
    (str, "text"),
    (bool, "true or false"),  # before int, which it is too
    (int, "a whole number"),
    (float, "a number"),
    (datetime, "a date"),
    (tuple, "a list"),
    (Block, "a block"),
)


def visible(text: str) -> str:
    """*text* on one line: what cannot be printed is escaped."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )
