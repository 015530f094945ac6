"""
What is to be said beside the settings: unknown keys, secrets that others can read.
"""

import os
import stat
from collections.abc import Collection, Mapping
from difflib import get_close_matches

from pynatsd.conf import At, Block, ConfError, Entry
from pynatsd.convert import wrong

WARNINGS_MAX = 50  # lines; the rest is counted
KEY_SHOWN = 64  # characters of an unknown key

_CLOSE = 0.66  # "prot" is 0.75 from "port", "tsl" 0.67 from "tls"
_MEANT = {"auth": "authorization", "authentication": "authorization", "ssl": "tls"}


def last(block: Block, aliases: Mapping[str, str]) -> dict[str, Entry]:
    """
    The entries that count, by the proper name of their key: the last one of each.

    Keys have no case.
    """
    found: dict[str, Entry] = {}
    for entry in block.entries:
        key = entry.key.lower()
        name = aliases.get(key, key)
        found.pop(name, None)  # so that the order is that of the last ones
        found[name] = entry
    return found


class Notes:
    """
    Collects the warnings of one reading.

    *is_strict*: unknown keys are errors.
    """

    def __init__(self, *, is_strict: bool = False) -> None:
        self._is_strict = is_strict
        self._warnings: list[str] = []
        self._more = 0
        self._files: set[str] = set()  # that hold secrets

    def warn(self, at: At, text: str) -> None:
        if len(self._warnings) < WARNINGS_MAX:
            self._warnings.append(str(wrong(at, text)))
        else:
            self._more += 1

    def ignored(self, entry: Entry) -> None:
        """A key of later servers that changes nothing here."""
        self.warn(entry.at, f"{shown(entry.key)} is not supported, ignored")

    def unknown(
        self, entry: Entry, known: Collection[str], guards: Collection[str]
    ) -> None:
        """
        A key that no server knows.

        Raises:
            ConfError: checking is strict, or it is one of *guards* mistyped, without
                which a door would stand open.
        """
        if entry.is_used:
            return
        is_near = nearest(entry.key, guards) and nearest(entry.key, known) in guards
        if self._is_strict or is_near:
            raise stray(entry, known)
        if len(self._warnings) < WARNINGS_MAX:  # to look for the nearest takes a while
            self._warnings.append(str(stray(entry, known)))
        else:
            self._more += 1

    def secret(self, at: At) -> None:
        """A password or token, in clear or a hash, stands here."""
        self._files.add(at.file)

    def warnings(self) -> tuple[str, ...]:
        """All of it, files that others can read included."""
        more = (f"... and {self._more} more warnings",) if self._more else ()
        return (*self._warnings, *more, *_readable(self._files))


def _readable(files: Collection[str]) -> list[str]:
    lines = []
    for file in sorted(files):
        try:
            mode = stat.S_IMODE(os.stat(file).st_mode)
        except OSError:
            continue  # a text that came from no file, or one that has gone since
        if mode & stat.S_IROTH:
            lines.append(
                f"{file}: holds secrets and is readable by others (mode {mode:04o})"
            )
    return lines


def stray(entry: Entry, known: Collection[str], where: str = "") -> ConfError:
    """The error to raise for an unknown key; it names the nearest known one."""
    near = nearest(entry.key, known)
    hint = f', did you mean "{near}"?' if near else ""
    return wrong(entry.at, f"unknown key {shown(entry.key)}{where}{hint}")


def refused(entry: Entry) -> ConfError:
    """The error to raise for a key of later servers that guards something."""
    text = "is not supported, and to ignore it could open a door"
    return wrong(entry.at, f"{shown(entry.key)} {text}")


def nearest(key: str, known: Collection[str]) -> str:
    """The known key that *key* most likely stands for, or ""."""
    key = key[:KEY_SHOWN].lower()
    meant = _MEANT.get(key, "")
    if meant in known:
        return meant
    return next(iter(get_close_matches(key, known, 1, _CLOSE)), "")


def shown(key: str) -> str:
    """A key in quotes, short and printable."""
    if len(key) > KEY_SHOWN:
        key = key[:KEY_SHOWN] + "..."
    if not key.isprintable():
        key = key.encode("unicode_escape").decode("ascii")
    return f'"{key}"'
