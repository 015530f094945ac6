"""The mkpasswd command: a row for each of the specification's, as processes where a
terminal or a pipe matters."""

import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from pynatsd import mkpasswd

ROOT = Path(__file__).resolve().parents[2]
TOOL = [sys.executable, str(ROOT / "tools" / "mkpasswd")]
USAGE = "Usage: mkpasswd [-p <stdin password>] [-c COST] \n"
HASH = r"\$2a\$04\$[./A-Za-z0-9]{53}"
DEADLINE = 10.0 * float(os.environ.get("PYNATSD_SLOW_FACTOR", "1"))


def run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["mkpasswd", *words])
    status = mkpasswd.main()
    return status, *capfd.readouterr()


# ---- a password that is made ----


def test_password_and_hash(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(monkeypatch, capfd, "-c", "4")
    assert (status, err) == (0, "")
    found = re.fullmatch(f"pass: (.{{22}})\nbcrypt hash: ({HASH})\n", out)
    assert found
    assert set(found[1]) <= set(mkpasswd.ALPHABET)
    assert bcrypt.checkpw(found[1].encode(), found[2].encode())


def test_alphabet() -> None:
    assert len(set(mkpasswd.ALPHABET)) == len(mkpasswd.ALPHABET) == 72
    seen = set("".join(mkpasswd.make() for _ in range(1000)))
    assert seen == set(mkpasswd.ALPHABET)
    assert mkpasswd.make() != mkpasswd.make()


@pytest.mark.parametrize(
    ("words", "asks", "cost"),
    [
        ([], False, 11),
        (["-c", "4"], False, 4),
        (["-c=4"], False, 4),
        (["--c=31"], False, 31),
        (["-c", "0x0a"], False, 10),
        (["-c", "012"], False, 10),
        (["-c", "0b101"], False, 5),
        (["-c", "+5"], False, 5),
        (["-c", "-1"], False, -1),
        (["-c", "0"], False, 0),
        (["-c", "4", "-c", "5"], False, 5),
        (["-p"], True, 11),
        (["--p"], True, 11),
        (["-p=true"], True, 11),
        (["-p=0"], False, 11),
        (["-p", "-p=F"], False, 11),
        (["-p", "-c", "4"], True, 4),
        # Extra words, and flags after them, are ignored.
        (["foo", "-c", "4"], False, 11),
        (["-p", "foo", "-x"], True, 11),
        (["--", "-p"], False, 11),
        (["-", "-p"], False, 11),
        (["", "-p"], False, 11),
    ],
)
def test_flags(words: list[str], asks: bool, cost: int) -> None:
    assert mkpasswd.parse(words) == (asks, cost)


@pytest.mark.parametrize(
    ("words", "err"),
    [
        (["-h"], ""),
        (["-help"], ""),
        (["--help"], ""),
        (["-p", "-h"], ""),
        (["-x"], "flag provided but not defined: -x\n"),
        (["-pc"], "flag provided but not defined: -pc\n"),
        (["--cost=4"], "flag provided but not defined: -cost\n"),
        (["-c"], "flag needs an argument: -c\n"),
        (["-c", "x"], 'invalid value "x" for flag -c: parse error\n'),
        (["-c="], 'invalid value "" for flag -c: parse error\n'),
        (["-c", "1_0"], 'invalid value "1_0" for flag -c: parse error\n'),
        (["-c", "4.0"], 'invalid value "4.0" for flag -c: parse error\n'),
        (["-c", "08"], 'invalid value "08" for flag -c: parse error\n'),
        (["-c", "1" * 21], f'invalid value "{"1" * 21}" for flag -c: parse error\n'),
        (["-p=maybe"], 'invalid boolean value "maybe" for -p: parse error\n'),
        (["-p="], 'invalid boolean value "" for -p: parse error\n'),
        (["---p"], "bad flag syntax: ---p\n"),
        (["-=4"], "bad flag syntax: -=4\n"),
        (["--=4"], "bad flag syntax: --=4\n"),
    ],
)
def test_misuse(
    words: list[str],
    err: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, capfd, *words) == (1, "", err + USAGE)


@pytest.mark.parametrize("cost", [-1, 0, 3, 32, 99])
def test_cost_out_of_range(
    cost: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(monkeypatch, capfd, "-c", str(cost))
    assert status == 1
    assert re.fullmatch("pass: .{22}\n", out)
    assert err == (
        f"Error producing bcrypt hash: crypto/bcrypt: cost {cost}"
        " is outside allowed range (4,31)\n"
    )


def test_default_cost() -> None:
    assert mkpasswd.hashed(b"x", mkpasswd.COST).startswith("$2a$11$")


def test_without_the_library(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    status, _, err = run(monkeypatch, capfd, "-c", "4")
    assert status == 1
    assert err.startswith("Error producing bcrypt hash: import of bcrypt")


# ---- a password from a pipe ----


@pytest.mark.parametrize(
    ("given", "password"),
    [
        (b"secret\n", b"secret"),
        (b"secret", b"secret"),
        (b"secret\r\n", b"secret"),
        (b"secret\nsecond\n", b"secret"),
        (b" a b \n", b" a b "),
        (b"\xff\xfe\n", b"\xff\xfe"),
        ("pässwörd\n".encode(), "pässwörd".encode()),
        (b"a\0b\n", b"a\0b"),
        (b"x" * 72 + b"\n", b"x" * 72),
    ],
)
def test_pipe(given: bytes, password: bytes) -> None:
    ran = subprocess.run(
        [*TOOL, "-p", "-c", "4"], input=given, capture_output=True, timeout=DEADLINE
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    found = re.fullmatch(
        f"Enter Password: \nbcrypt hash: ({HASH})\n".encode(), ran.stdout
    )
    assert found
    assert bcrypt.checkpw(password, found[1])


@pytest.mark.parametrize("length", [73, 900, 5000])
def test_pipe_with_more_than_counts(length: int) -> None:
    ran = subprocess.run(
        [*TOOL, "-p", "-c", "4"],
        input=b"x" * length + b"\n",
        capture_output=True,
        timeout=DEADLINE,
    )
    warning = b"Warning: only the first 72 bytes of a password count\n"
    assert (ran.returncode, ran.stderr) == (0, warning)
    assert bcrypt.checkpw(b"x" * 72, ran.stdout.split()[-1])


@pytest.mark.parametrize("given", [b"", b"\n", b"\r\n", b"\nsecret\n"])
def test_pipe_without_a_password(given: bytes) -> None:
    ran = subprocess.run(
        [*TOOL, "-p"], input=given, capture_output=True, timeout=DEADLINE
    )
    assert (ran.returncode, ran.stdout) == (1, b"Enter Password: \n")
    assert ran.stderr == b"Error, the password is empty\n"


def test_input_that_cannot_be_read() -> None:
    output = os.open("/dev/null", os.O_WRONLY)
    ran = subprocess.run(
        [*TOOL, "-p"], stdin=output, capture_output=True, timeout=DEADLINE
    )
    os.close(output)
    assert ran.returncode == 1
    assert ran.stderr == b"Error, cannot read the password: Bad file descriptor\n"


def test_a_line_without_end() -> None:
    with subprocess.Popen(
        [*TOOL, "-p", "-c", "4"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as child:
        assert child.stdin is not None
        os.write(child.stdin.fileno(), b"x" * mkpasswd.LINE_MAX)
        assert child.wait(DEADLINE) == 0


def test_only_a_line_is_read() -> None:
    command = f"{shlex.join(TOOL)} -p -c 4 >/dev/null; cat"
    ran = subprocess.run(
        ["sh", "-c", command],
        input=b"one\ntwo\n",
        capture_output=True,
        timeout=DEADLINE,
    )
    assert ran.stdout == b"two\n"


# ---- a password that is typed ----


class Terminal:
    """The command on a terminal of its own; standard error is a pipe."""

    def __init__(self, *words: str) -> None:
        self.fd, inner = pty.openpty()
        self.child = subprocess.Popen(
            [*TOOL, *words],
            stdin=inner,
            stdout=inner,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.inner = inner  # open, so that the modes can be looked at afterwards

    def expect(self, text: str) -> None:
        seen = b""
        while len(seen) < len(text):
            assert select.select([self.fd], [], [], DEADLINE)[0], seen
            seen += os.read(self.fd, len(text) - len(seen))
        assert seen.decode() == text

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def has_echo(self) -> bool:
        return bool(termios.tcgetattr(self.inner)[3] & termios.ECHO)

    def end(self) -> tuple[int, str]:
        """The exit status, and what was written to standard error."""
        err = self.child.communicate(timeout=DEADLINE)[1].decode()
        assert self.has_echo()
        return self.child.returncode, err

    def close(self) -> None:
        self.child.kill()
        self.child.wait(DEADLINE)
        os.close(self.fd)
        os.close(self.inner)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal("-p", "-c", "4")
    yield terminal
    terminal.close()


def test_typed(terminal: Terminal) -> None:
    terminal.expect("Enter Password: ")
    assert not terminal.has_echo()
    terminal.type("secret\n")
    terminal.expect("\r\nReenter Password: ")
    terminal.type("secret\n")
    terminal.expect("\r\nbcrypt hash: $2a$04$")
    assert terminal.end() == (0, "")
    rest = os.read(terminal.fd, 100).decode()
    assert bcrypt.checkpw(b"secret", f"$2a$04${rest.strip()}".encode())
    assert rest.endswith("\r\n")


@pytest.mark.parametrize(
    ("first", "second"),
    [("secret\n", "Secret\n"), ("secret\n", "\n"), ("\n", "x\n"), ("s\n", "\x04")],
)
def test_typed_in_two_ways(terminal: Terminal, first: str, second: str) -> None:
    terminal.expect("Enter Password: ")
    terminal.type(first)
    terminal.expect("\r\nReenter Password: ")
    terminal.type(second)
    assert terminal.end() == (1, "Error, passwords do not match\n")
    os.set_blocking(terminal.fd, False)
    with pytest.raises(BlockingIOError):
        os.read(terminal.fd, 1)  # the cursor is still behind the prompt


@pytest.mark.parametrize("typed", ["\n", "\x04"])
def test_typed_nothing(terminal: Terminal, typed: str) -> None:
    terminal.expect("Enter Password: ")
    terminal.type(typed)
    terminal.expect("\r\nReenter Password: ")
    terminal.type(typed)
    assert terminal.end() == (1, "Error, the password is empty\n")


def test_interrupted(terminal: Terminal) -> None:
    terminal.expect("Enter Password: ")
    terminal.child.send_signal(signal.SIGINT)
    assert terminal.end() == (130, "\n")


# ---- how it is started ----


def test_as_a_module() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pynatsd.mkpasswd", "-h"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", USAGE)


def test_entry_point() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert '\npynatsd-mkpasswd = "pynatsd.mkpasswd:main"\n' in text


def test_tool_is_a_command() -> None:
    tool = ROOT / "tools" / "mkpasswd"
    assert os.access(tool, os.X_OK)
    assert tool.read_text().startswith("#!/usr/bin/env python3\n")


def test_tool_runs_where_nothing_is_built(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "pynatsd").mkdir()
    for part in ("tools/mkpasswd", "pynatsd/mkpasswd.py"):
        (tmp_path / part).write_bytes((ROOT / part).read_bytes())
    ran = subprocess.run(
        [sys.executable, tmp_path / "tools" / "mkpasswd", "-c", "4"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        cwd=tmp_path,
    )
    assert ran.returncode == 0
    assert re.fullmatch(f"pass: .{{22}}\nbcrypt hash: {HASH}\n", ran.stdout)
