"""Secrets on the command line, which every user of the machine can read."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_SECRET_FLAGS = ("pass", "auth", "cluster", "cluster_listen", "routes")


def hide_secrets(root: Path = Path("/")) -> None:
    """
    Overwrite the secrets among our arguments where the system shows them.

    On Linux only, and they could be seen for a moment before: a file is the better
    place. *root* is where /proc is found.
    """
    found = secrets(sys.argv[1:])
    if not found or not sys.platform.startswith("linux"):
        return
    from cffi import FFI  # not for those who have no secrets there

    with suppress(OSError, ValueError, IndexError):
        # The name in field 2 may hold blanks and brackets: count from behind it.
        stat = (root / "proc/self/stat").read_text(encoding="ascii", errors="replace")
        later = stat.rpartition(")")[2].split()
        start, end = int(later[45]), int(later[46])  # fields 48 and 49
        ffi = FFI()
        shown = ffi.buffer(ffi.cast("char *", start), end - start)
        shown[:] = masked(bytes(shown), found)


def secrets(words: Sequence[str]) -> list[bytes]:
    """The values among *words* of flags that hold secrets."""
    found = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name in _SECRET_FLAGS:
            secret = value if equals else following
            found.append(secret.encode(errors="surrogateescape"))
    return [secret for secret in found if secret]


def masked(arguments: bytes, found: Sequence[bytes]) -> bytes:
    """*arguments*, each of which ends with a NUL, as long as before."""
    words = arguments.split(b"\0")
    for i, word in enumerate(words):
        head, equals, value = word.partition(b"=")
        if word in found:
            words[i] = b"*" * len(word)
        elif equals and value in found:
            words[i] = head + equals + b"*" * len(value)
    return b"\0".join(words)
