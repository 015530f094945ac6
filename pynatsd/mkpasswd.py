"""
The `pynatsd-mkpasswd` command: makes a password, or asks for one, and hashes it.

It needs bcrypt and nothing else of pynatsd, so that `tools/mkpasswd` runs in a clone
where nothing has been built.

Source: gnatsd 0.8.0, util/mkpasswd.go.
"""

import os
import re
import secrets
import string
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

COST = 11
COSTS = range(4, 32)
LENGTH = 22  # characters of a password that is made: 135 bits
ALPHABET = string.ascii_letters + string.digits + "!@#$%^&*()"
COUNTED_MAX = 72  # bytes of a password that bcrypt looks at
LINE_MAX = 4096  # bytes of a line that are read

_USAGE = "Usage: mkpasswd [-p <stdin password>] [-c COST] "
_INTEGER = re.compile(
    "[+-]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|[0-9]|[1-9][0-9]*)"
)
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


class MisuseError(Exception):
    """The command line is wrong, or asks for help: then without a text."""


class PasswordError(Exception):
    """There is nothing to make a hash of."""


def main() -> int:
    """The command. Returns the exit status."""
    try:
        asks, cost = parse(sys.argv[1:])
        if asks:
            password = ask()
        else:
            made = make()
            password = made.encode()
            print(f"pass: {made}", flush=True)
        print(f"bcrypt hash: {hashed(password, cost)}")
    except MisuseError as error:
        _complain(*error.args, _USAGE)
        return 1
    except PasswordError as error:
        _complain(f"Error, {error}")
        return 1
    except (ValueError, ImportError) as error:
        _complain(f"Error producing bcrypt hash: {error}")
        return 1
    except KeyboardInterrupt:
        _complain("")
        return 130
    return 0


def parse(words: Sequence[str]) -> tuple[bool, int]:
    """
    Whether to ask for the password, and the cost. What follows the flags is ignored.

    Raises:
        MisuseError: there is no such flag or value.
    """
    asks, cost = False, COST
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] not in ("-", "--"):
        word = rest.pop(0)
        text = word[2:] if word.startswith("--") else word[1:]
        name, equals, value = text.partition("=")
        if not name or name.startswith("-"):
            raise MisuseError(f"bad flag syntax: {word}")
        if name in ("h", "help"):
            raise MisuseError
        if name == "p":
            asks = _boolean(value) if equals else True
        elif name == "c":
            if not equals and not rest:
                raise MisuseError("flag needs an argument: -c")
            cost = _integer(value if equals else rest.pop(0))
        else:
            raise MisuseError(f"flag provided but not defined: -{name}")
    return asks, cost


def _boolean(text: str) -> bool:
    if text not in _BOOLEANS:
        raise MisuseError(f'invalid boolean value "{text}" for -p: parse error')
    return _BOOLEANS[text]


def _integer(text: str) -> int:
    """As Go reads it: a leading 0 alone means octal."""
    if not _INTEGER.fullmatch(text) or len(text) > 20:
        raise MisuseError(f'invalid value "{text}" for flag -c: parse error')
    return int(re.sub("^([+-]?)0([0-9])", r"\g<1>0o\2", text), 0)


def make() -> str:
    """A password that nobody guesses."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def hashed(password: bytes, cost: int) -> str:
    """
    The bcrypt hash of *password*, as every server reads it: `$2a$`.

    Raises:
        ValueError: the cost is out of its range, or the library does not want it.
        ImportError: there is no library.
    """
    if cost not in COSTS:
        low, high = COSTS[0], COSTS[-1]
        raise ValueError(
            f"crypto/bcrypt: cost {cost} is outside allowed range ({low},{high})"
        )
    import bcrypt  # its absence is an error with words of its own

    salt = bcrypt.gensalt(cost, prefix=b"2a")
    return bcrypt.hashpw(password[:COUNTED_MAX], salt).decode()


def ask() -> bytes:
    """
    The password from standard input: typed twice, or one line of a pipe.

    Raises:
        PasswordError: it is empty, cannot be read, or was typed in two ways.
    """
    try:
        password = _typed(0) if os.isatty(0) else _piped(0)
    except OSError as error:
        raise PasswordError(f"cannot read the password: {error.strerror}") from None
    if not password:
        raise PasswordError("the password is empty")
    if len(password) > COUNTED_MAX:
        _complain(f"Warning: only the first {COUNTED_MAX} bytes of a password count")
    return password


def _piped(fd: int) -> bytes:
    print("Enter Password: ", flush=True)
    return _line(fd)


def _typed(fd: int) -> bytes:
    with _without_echo(fd):
        print("Enter Password: ", end="", flush=True)
        password = _line(fd)
        print("\nReenter Password: ", end="", flush=True)
        if _line(fd) != password:
            raise PasswordError("passwords do not match")
        print(flush=True)
    return password


@contextmanager
def _without_echo(fd: int) -> Iterator[None]:
    before = termios.tcgetattr(fd)
    silent = termios.tcgetattr(fd)
    silent[3] &= ~termios.ECHO
    try:
        termios.tcsetattr(fd, termios.TCSADRAIN, silent)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _line(fd: int) -> bytes:
    """One line without its end; no byte of the next one is read."""
    line = b""
    while len(line) < LINE_MAX and (byte := os.read(fd, 1)) not in (b"", b"\n"):
        line += byte
    return line.removesuffix(b"\r")


def _complain(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
