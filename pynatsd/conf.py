"""
The configuration language: from a file to a tree of values with their places.

What the keys mean is not known here; `pynatsd.settings` reads the tree.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pynatsd.conf_files import Refusal, Session
from pynatsd.conf_lex import NEWLINES, QUOTES, Scanner
from pynatsd.conf_tree import At, Block, ConfError, Entry, Value

__all__ = ["At", "Block", "ConfError", "Entry", "Value", "load", "parse"]

_BCRYPT = re.compile(r"\$2[a-z]?\$")  # a hash, not a variable
_SECRET_KEYS = ("pass", "password", "token")


def load(path: str) -> Block:
    """
    Read the file at *path*, and what it includes.

    Raises:
        ConfError: a file cannot be read, or breaks the rules of the language.

    Source: gnatsd 0.8.0, conf/. `include`, variables, suffixes of numbers, all words
    for booleans, JSON: nats-server 2.
    """
    session = Session()
    try:
        with session.file(path) as data:
            scan = Scanner(data, path)
            return _Parser(scan, session, os.path.dirname(path), []).document()
    except Refusal as refusal:
        raise ConfError(path, 0, 0, str(refusal)) from None


def parse(text: str | bytes, name: str) -> Block:
    """
    Read a configuration that is not in a file; *name* stands for one in errors.

    It includes files relative to the working directory.

    Raises:
        ConfError: it breaks the rules of the language, or a file that it includes.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    session = Session()
    try:
        session.count_bytes(len(data))
    except Refusal as refusal:
        raise ConfError(name, 0, 0, str(refusal)) from None
    return _Parser(Scanner(data, name), session, "", []).document()


@dataclass(slots=True)
class _Pair:
    """An `Entry` while a variable may still come to refer to it."""

    key: str
    at: At
    value: Value
    is_used: bool = False


class _Scope:
    """A block while it is read."""

    def __init__(self) -> None:
        self.pairs: list[_Pair] = []
        self.latest: dict[str, _Pair] = {}  # of each key

    def add(self, pair: _Pair) -> None:
        self.pairs.append(pair)
        self.latest[pair.key] = pair

    def block(self, at: At) -> Block:
        entries = (Entry(p.key, p.at, p.value, p.is_used) for p in self.pairs)
        return Block(tuple(entries), at)


class _Parser:
    """
    Reads one text: a file, or a variable of the environment.

    *folder* is what includes are relative to; *scopes* are the blocks around the
    text, from the top: its pairs go to the last, its variables may be in any.
    """

    def __init__(
        self, scan: Scanner, session: Session, folder: str, scopes: list[_Scope]
    ) -> None:
        self._scan = scan
        self._session = session
        self._folder = folder
        self._scopes = scopes

    # ---- whole texts ----

    def document(self) -> Block:
        at = self._scan.at()
        self._scopes.append(_Scope())
        self.included()
        return self._scopes.pop().block(at)

    def included(self) -> None:
        """Pairs up to the end of the file, or one JSON object that is all of it."""
        with self._limited():
            self._scan.skip_space()
            if self._scan.peek() == "{":
                with self._brackets():
                    self._pairs("}")
                self._end_of_text()
            else:
                self._pairs("")

    def lone_value(self) -> Value:
        with self._limited():
            self._scan.skip_blanks()
            value = self._value("")
            self._end_of_pair("")
            self._end_of_text()
        return value

    def _end_of_text(self) -> None:
        self._scan.skip_space()
        if self._scan.peek():
            raise self._scan.error(f"Expected EOF, but got {self._scan.shown()}.")

    @contextmanager
    def _limited(self, pos: int | None = None) -> Iterator[None]:
        """What the session refuses is an error at *pos*, or where we are."""
        try:
            yield
        except Refusal as refusal:
            raise self._scan.error(str(refusal), pos) from None

    # ---- pairs; *closing* is what ends their block: `}`, or "" for the file ----

    def _pairs(self, closing: str) -> None:
        scan = self._scan
        scan.skip_space()
        while scan.peek() != closing:
            if not scan.peek():
                raise scan.error("Unexpected EOF.")
            self._pair(closing)
            self._end_of_pair(closing)
            scan.skip_space()

    def _pair(self, closing: str) -> None:
        scan = self._scan
        at, is_bare = scan.at(), scan.peek() not in QUOTES
        key = self._bare_key(closing) if is_bare else scan.quoted()
        scan.skip_blanks()
        if is_bare and key.lower() == "include" and scan.peek() not in ("=", ":"):
            self._include(closing)
            return
        scan.skip_blanks(newlines=True)
        if scan.take("=", ":"):
            scan.skip_blanks(newlines=closing == "}")
        scan.is_secret = key.lower() in _SECRET_KEYS
        self._scopes[-1].add(_Pair(key, at, self._value(closing)))

    def _bare_key(self, closing: str) -> str:
        scan = self._scan
        found = scan.peek()
        if found in ("=", ":"):
            stop = "." if closing else ""
            raise scan.error(f"Unexpected key separator '{found}'{stop}")
        if found == "," and closing:
            raise scan.error('Unexpected map value terminator ",".')
        if found == "/" and not scan.peek(scan.pos + 1):
            raise scan.error("Unexpected EOF.", scan.pos + 1)
        if found in "/{}[]();,":
            raise scan.error(f"Expected key but found {scan.shown()}")
        key = scan.key(in_map=closing == "}")
        if not scan.peek():
            raise scan.error("Unexpected EOF.")
        return key

    def _end_of_pair(self, closing: str) -> None:
        scan = self._scan
        scan.skip_blanks()
        ends = (",", ";") if closing else (";",)
        if scan.take(*ends) or scan.is_comment():
            return
        if scan.peek() in (closing, *NEWLINES):
            return
        expected = (
            'a map value terminator "," or a map terminator "}"'
            if closing
            else "a top-level value to end with a new line, comment or EOF"
        )
        raise scan.error(f"Expected {expected}, but got {scan.shown()} instead.")

    def _include(self, closing: str) -> None:
        scan = self._scan
        start, found = scan.pos, scan.peek()
        if found in NEWLINES:
            raise scan.error("Expected include value but found new line")
        if not found or found in "{}[](),;":
            raise scan.error(f"Expected include value but found {scan.shown()}")
        quoted = found in QUOTES
        path = scan.quoted() if quoted else scan.word(in_map=closing == "}")
        path = os.path.join(self._folder, path)
        with self._limited(start), self._session.file(path) as data:
            inner = Scanner(data, path)
            folder = os.path.dirname(path)
            _Parser(inner, self._session, folder, self._scopes).included()

    # ---- values; *closing* is `]` in a list ----

    def _value(self, closing: str) -> Value:
        scan = self._scan
        start, at, found = scan.pos, scan.at(), scan.peek()
        self._session.count_values(1)
        if found == "[":
            return Value(self._list(), at)
        if found == "{":
            return Value(self._map(), at)
        if found == "(":
            return Value(scan.block(), at)
        if found in QUOTES:
            return Value(scan.quoted(), at)
        self._check_some_value(closing)
        data, literal = scan.bare(in_map=closing == "}")
        if literal.startswith("$") and not _BCRYPT.match(literal):
            return self._variable(literal[1:], start)
        return Value(data, at, literal)

    def _check_some_value(self, closing: str) -> None:
        scan = self._scan
        found = scan.peek()
        if found in NEWLINES:
            raise scan.error("Expected value but found new line")
        if found == "," and closing == "}":
            raise scan.error('Unexpected map value terminator ",".')
        if not found or found in ",;]" or (found == closing == "}"):
            raise scan.error(f"Expected value but found {scan.shown()}")

    def _list(self) -> tuple[Value, ...]:
        scan = self._scan
        values: list[Value] = []
        with self._brackets():
            scan.skip_space()
            while scan.peek() != "]":
                if scan.peek() == ",":
                    raise scan.error("Unexpected array value terminator ','.")
                if not scan.peek():
                    raise self._no_end_of_item()
                values.append(self._value("]"))
                self._end_of_item()
                scan.skip_space()
        return tuple(values)

    def _end_of_item(self) -> None:
        scan = self._scan
        scan.skip_blanks()
        if scan.take(",") or scan.is_comment() or scan.peek() in ("]", *NEWLINES):
            return
        raise self._no_end_of_item()

    def _no_end_of_item(self) -> ConfError:
        return self._scan.error(
            'Expected an array value terminator "," or an array terminator "]", '
            f"but got {self._scan.shown()} instead."
        )

    def _map(self) -> Block:
        at = self._scan.at()
        self._scopes.append(_Scope())
        with self._brackets():
            self._pairs("}")
        return self._scopes.pop().block(at)

    @contextmanager
    def _brackets(self) -> Iterator[None]:
        """From before the opening one to after the closing one."""
        scan = self._scan
        scan.opened.append(scan.pos)
        with self._session.nested():
            scan.pos += 1
            yield
        scan.pos += 1
        scan.opened.pop()

    # ---- variables ----

    def _variable(self, name: str, start: int) -> Value:
        """What the name means here: in this block, those around it, or outside."""
        value = self._find(name)
        if value is None:
            value = self._environment(name, start)
        if isinstance(value.data, (tuple, Block)):
            count, levels = _extent(value)
            with self._limited(start), self._session.nested(levels):
                self._session.count_values(count)
        return Value(value.data, self._scan.at(start), value.literal)

    def _find(self, name: str) -> Value | None:
        for scope in reversed(self._scopes):
            if name in scope.latest:
                scope.latest[name].is_used = True
                return scope.latest[name].value
        return None

    def _environment(self, name: str, start: int) -> Value:
        variables = self._session.variables
        told = f"variable reference for {self._scan.told(name)}"
        data = os.environb.get(name.encode())
        if data is None:
            raise self._scan.error(f"{told} can not be found", start)
        if name in variables:
            raise self._scan.error(f"{told} is a cycle", start)
        variables.append(name)
        with self._limited(start), self._session.nested():
            scan = Scanner(data, f"${name}")
            scan.is_secret = True
            value = _Parser(scan, self._session, "", []).lone_value()
        variables.pop()
        return value


def _extent(value: Value) -> tuple[int, int]:
    """How many values it has in it, and how many levels of nesting."""
    if isinstance(value.data, Block):
        inner = [_extent(entry.value) for entry in value.data.entries]
    elif isinstance(value.data, tuple):
        inner = [_extent(each) for each in value.data]
    else:
        return 0, 0
    return sum(1 + n for n, _ in inner), 1 + max((deep for _, deep in inner), default=0)
