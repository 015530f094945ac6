"""Signals to a server: which, to whom, and to whom never."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pynatsd import control


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """Somebody whom each of these signals ends; its status says which one it was."""
    sleeper = subprocess.Popen(["sleep", "60"])
    yield sleeper
    sleeper.kill()
    sleeper.wait()


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be signalled in this test."""

    def kill(pid: int, number: int) -> None:
        raise AssertionError((pid, number))

    monkeypatch.setattr(os, "kill", kill)


NUMBERS = {
    "stop": signal.SIGINT,
    "quit": signal.SIGINT,
    "term": signal.SIGTERM,
    "reopen": signal.SIGUSR1,
    "reload": signal.SIGHUP,
    "ldm": signal.SIGUSR2,
}


@pytest.mark.parametrize(("name", "number"), NUMBERS.items())
def test_by_process_id(
    name: str, number: int, process: subprocess.Popen[bytes]
) -> None:
    assert control.send(f"{name}={process.pid}") == (0, "")
    assert process.wait(10) == -number


@pytest.mark.parametrize("form", ["{}", "{}\n", " {} \r\n", "+{}", "000{}"])
def test_by_pid_file(
    form: str, process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    path = tmp_path / "x=y.pid"
    path.write_text(form.format(process.pid))
    assert control.send(f"term={path}") == (0, "")
    assert process.wait(10) == -signal.SIGTERM


def test_by_the_pid_file_of_the_command_line(
    process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    path = tmp_path / "pid"
    path.write_text(str(process.pid))
    assert control.send("quit", str(path)) == (0, "")
    assert process.wait(10) == -signal.SIGINT


def test_target_beats_the_pid_file_of_the_command_line(
    process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    assert control.send(f"term={process.pid}", str(tmp_path / "nope")) == (0, "")
    assert process.wait(10) == -signal.SIGTERM


RANGE = "must be from 2 to 2147483647"
FILE_RANGE = "must be from 1 to 2147483647"


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("foo", 'unknown signal "foo"'),
        ("foo=1", 'unknown signal "foo"'),
        ("STOP=2", 'unknown signal "STOP"'),
        ("kill=2", 'unknown signal "kill"'),
        ("9=2", 'unknown signal "9"'),
        (" stop=2", 'unknown signal " stop"'),
        ("=2", 'unknown signal ""'),
        ("stop", "--signal stop: needs a process id or a pid file"),
        ("ldm=", "--signal ldm: needs a process id or a pid file"),
        # Groups of processes, init.
        ("stop=0", f"process 0: {RANGE}"),
        ("stop=-0", f"process -0: {RANGE}"),
        ("stop=000", f"process 000: {RANGE}"),
        ("stop=1", f"process 1: {RANGE}"),
        ("stop=+1", f"process +1: {RANGE}"),
        ("stop=-1", f"process -1: {RANGE}"),
        ("stop=-2", f"process -2: {RANGE}"),
        ("stop=-9999", f"process -9999: {RANGE}"),
        # More than a process id has.
        ("stop=2147483648", f"process 2147483648: {RANGE}"),
        ("stop=4294967298", f"process 4294967298: {RANGE}"),
        ("stop=" + "9" * 5000, f"process {'9' * 5000}: not a process id"),
        # No number: a file.
        ("stop=nope", "pid file nope: no such file or directory"),
        ("stop=2x", "pid file 2x: no such file or directory"),
        ("stop=2 ", "pid file 2 : no such file or directory"),
        ("stop=\u0662", "pid file \u0662: no such file or directory"),
        ("stop==2", "pid file =2: no such file or directory"),
        ("stop=/", "pid file /: not an ordinary file"),
        ("stop=/dev/null", "pid file /dev/null: not an ordinary file"),
    ],
)
def test_refused(
    spec: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert control.send(spec) == (1, f"{text}\n")


def test_nothing_behind_the_equals_sign_is_not_the_pid_file(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(str(os.getpid()))
    assert control.send("reload=", str(path)) == (
        *(1, "--signal reload: needs a process id or a pid file\n"),
    )


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"0", FILE_RANGE),
        (b"-1", FILE_RANGE),
        (b"-7", FILE_RANGE),
        (b"2147483648", FILE_RANGE),
        (b"s3cr3t", "not a process id"),
        (b"12 13", "not a process id"),
        (b"12\n13\n", "not a process id"),
        (b"12.0", "not a process id"),
        (b"0x10", "not a process id"),
        (b"12\0", "not a process id"),
        (b"\xff\xfe1", "not a process id"),
        (b"\xb2", "not a process id"),
        (b"9" * 30, "not a process id"),
        (b"9" * 100_000, "not a process id"),
    ],
)
def test_pid_file_with_no_process_id(content: bytes, text: str, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_bytes(content)
    assert control.send(f"stop={path}") == (1, f"pid file {path}: {text}\n")


@pytest.mark.usefixtures("nobody")
def test_pipe_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    expected = f"pid file {path}: not an ordinary file\n"
    assert control.send(f"stop={path}") == (1, expected)


@pytest.mark.parametrize("pid", [2, 2**31 - 1])
def test_the_least_and_the_greatest_process_id(
    pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    monkeypatch.setattr(os, "kill", lambda *words: sent.append(words))
    assert control.send(f"ldm={pid}") == (0, "")
    assert sent == [(pid, signal.SIGUSR2)]


def test_the_first_process_is_named_by_its_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, where it is the server."""
    sent = []
    monkeypatch.setattr(os, "kill", lambda *words: sent.append(words))
    path = tmp_path / "pid"
    path.write_text("1")
    assert control.send(f"reload={path}") == (0, "")
    assert sent == [(1, signal.SIGHUP)]


def test_pid_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated, for root may read everything."""

    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    expected = "pid file x: permission denied\n"
    assert control.send("stop=x") == (1, expected)


def test_process_that_is_gone() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    expected = f"process {gone.pid}: no such process\n"
    assert control.send(f"term={gone.pid}") == (1, expected)


def test_process_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(pid: int, number: int) -> None:
        assert (pid, number) == (1234, signal.SIGHUP)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", kill)
    expected = "process 1234: operation not permitted\n"
    assert control.send("reload=1234") == (1, expected)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("x")
    before = os.open(os.devnull, os.O_RDONLY)
    os.close(before)
    for target in (path, tmp_path, "/dev/null"):
        assert control.send(f"stop={target}")[0] == 1
    after = os.open(os.devnull, os.O_RDONLY)
    os.close(after)
    assert after == before
