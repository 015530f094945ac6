"""
Kinds of values: from what the configuration language read to what an option takes.

Each takes an entry and returns the value, or raises an error that names the place and
the key, and says what the value must be. A text is never shown: it may be a secret.
"""

import importlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from pynatsd.conf import At, Block, ConfError, Entry, Value
from pynatsd.options import is_bcrypt

SHOWN_MAX = 300  # characters of an error that come from a file

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,  # both letters that look like micro
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART = rf"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)({'|'.join(_UNITS)})"
_DURATION = re.compile(rf"(?:{_PART})+")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\[\]]*)\]|(?P<host>[^:\[\]]*)):(?P<port>.*)")
_PORT = re.compile(r"-?[0-9]{1,9}")


def wrong(at: At, text: str) -> ConfError:
    """The error to raise for something at *at*; a text of any length is made short."""
    if len(text) > SHOWN_MAX:
        text = text[:SHOWN_MAX] + "..."
    return ConfError(at.file, at.line, at.column, text)


@contextmanager
def placed(entry: Entry, prefix: str = "") -> Iterator[None]:
    """Give a ValueError the place and the key of *entry*, in place of *prefix*."""
    try:
        yield
    except ValueError as error:
        text = str(error).removeprefix(prefix)
        raise wrong(entry.value.at, f"{entry.key}: {text}") from None


def checked(owner: Any, option: str, value: object, entry: Entry) -> Any:
    """
    Return *value* if it is in the range of an option of *owner*, as its class says.

    Raises:
        ConfError: it is not, in the words of `pynatsd.options`.
    """
    with placed(entry, f"{option}: "):
        replace(owner, **{option: value})
    return value


def unexpected(key: str, value: Value, wanted: str) -> ConfError:
    """The error to raise for a value of another kind than *wanted*."""
    found = value.data if isinstance(value.data, float) else value.kind
    return wrong(value.at, f"{key}: must be {wanted}, not {found}")


# ---- plain kinds ----


def text(entry: Entry) -> str:
    """A string; a number has to be quoted, for `1.10` would become 1.1."""
    if isinstance(entry.value.data, tuple | Block):
        raise unexpected(entry.key, entry.value, "text")
    if not isinstance(entry.value.data, str):
        wanted = f"must be text, not {entry.value.kind}; put it into quotes"
        raise wrong(entry.value.at, f"{entry.key}: {wanted}")
    return entry.value.data


def secret(entry: Entry) -> str:
    """A password or token, in clear or a well-formed bcrypt hash."""
    found = text(entry)
    with placed(entry):
        is_bcrypt(found)
    return found


def texts(entry: Entry) -> tuple[str, ...]:
    """A string, or a list of strings."""
    return tuple(map(text, items(entry)))


def items(entry: Entry) -> tuple[Entry, ...]:
    """What a list holds, as entries with its key; any other value is a list of one."""
    if not isinstance(entry.value.data, tuple):
        return (entry,)
    return tuple(Entry(entry.key, value.at, value) for value in entry.value.data)


def number(entry: Entry) -> int:
    """A whole number; the language has multiplied by `kb` and its like already."""
    data = entry.value.data
    if isinstance(data, bool) or not isinstance(data, int):
        raise unexpected(entry.key, entry.value, "a whole number")
    return data


def switch(entry: Entry) -> bool:
    """True or false, yes or no, on or off."""
    if not isinstance(entry.value.data, bool):
        raise unexpected(entry.key, entry.value, "true or false")
    return entry.value.data


def block(entry: Entry) -> Block:
    """A map."""
    if not isinstance(entry.value.data, Block):
        raise unexpected(entry.key, entry.value, "a block { }")
    return entry.value.data


def seconds(entry: Entry) -> float:
    """
    A time: a number of seconds, or a text like "1m30s".

    The units are those of Go. A bare `2m` is two minutes here, though it is a number
    with a suffix elsewhere.
    """
    value = entry.value
    written = value.data if isinstance(value.data, str) else value.literal
    if _DURATION.fullmatch(written):
        parts = re.findall(_PART, written)
        return sum(float(amount) * _UNITS[unit] for amount, unit in parts)
    if not _NUMBER.fullmatch(value.literal):
        raise wrong(
            value.at,
            f'{entry.key}: must be a number of seconds, or a time such as "1m30s"',
        )
    return cast(float, value.data)


# ---- addresses ----


def address(entry: Entry) -> tuple[str, int]:
    """
    Host and port of "host:port", "[ipv6]:port", ":port" or a bare port.

    The host is "" where none is given.
    """
    data = entry.value.data
    if isinstance(data, int) and not isinstance(data, bool):
        return "", data
    if not isinstance(data, str):
        raise unexpected(entry.key, entry.value, 'text like "host:port", or a port')
    with placed(entry):
        return split_address(data)


def split_address(written: str) -> tuple[str, int]:
    """
    Host ("" where none is given) and port of an address.

    Raises:
        ValueError: it is none.
    """
    if _PORT.fullmatch(written):
        return "", int(written)
    found = _ADDRESS.fullmatch(written)
    if not found or not _PORT.fullmatch(found["port"]):
        raise ValueError('must be "host:port", "[ipv6]:port" or a port')
    return found["ipv6"] or found["host"] or "", int(found["port"])


# ---- code ----


def code(entry: Entry) -> Callable[..., Any]:
    """
    A callable, named as "package.module:name"; the module is imported.

    Whatever goes wrong is one error with the place.
    """
    named = text(entry)
    module, _, name = named.partition(":")
    if not (all(part.isidentifier() for part in module.split(".")) and name):
        raise wrong(entry.value.at, f'{entry.key}: must be "package.module:callable"')
    try:
        found = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise wrong(
            entry.value.at, f'{entry.key}: cannot import "{named}": {cause}'
        ) from None
    if not callable(found):
        raise wrong(entry.value.at, f'{entry.key}: "{named}" is not callable')
    return found  # type: ignore[no-any-return]
