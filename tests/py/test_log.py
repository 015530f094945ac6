"""The handler: where lines go, what is lost and counted, and that nobody waits."""

import fcntl
import logging
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from log_tools import DEADLINE, PID, Pipe, logged, piped, until

from pynatsd import log as logs
from pynatsd import log_writer, sinks
from pynatsd.options import Options

DROPPED = re.compile(rf"\[{PID}\] \[ERR\] Dropped ([1-9][0-9]*) lines")
LONG = "x" * 1000
ROOM = log_writer.QUEUE_MAX // (len(LONG) + log_writer._ENTRY_COST) + 1  # of LONG


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with piped() as made:
        yield made


def missing(lines: list[str]) -> int:
    """How many lines the log says are missing; they are taken out of *lines*."""
    marks = [match for line in lines if (match := DROPPED.fullmatch(line))]
    lines[:] = [line for line in lines if not DROPPED.fullmatch(line)]
    return sum(int(match[1]) for match in marks)


# ---- targets ----


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    with logged(log_file=str(path)) as (logger, handler):
        for number in range(1000):
            logger.info("text %d", number)
    assert path.read_text() == "before\n" + "".join(
        f"[{PID}] [INF] text {number}\n" for number in range(1000)
    )
    assert (handler.dropped, handler.failed_writes) == (0, 0)


def test_time_stamp(tmp_path: Path) -> None:
    before = time.time()
    with logged(log_file=str(tmp_path / "log"), logtime=True) as (logger, _):
        logger.info("x")
    after = time.time()
    day = r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)\.(\d{6})"
    line = (tmp_path / "log").read_text()
    match = re.fullmatch(rf"\[{PID}\] {day} \[INF\] x\n", line)
    assert match is not None
    second = time.mktime(time.strptime(match[1], "%Y/%m/%d %H:%M:%S"))
    assert before - 0.001 <= second + int(match[2]) / 1_000_000 <= after


@pytest.mark.parametrize(
    ("log_format", "expected"),
    [
        ("text", "[%d] [INF] x\n"),
        ("json", '{"level":"info","pid":%d,"message":"x"}\n'),
    ],
)
def test_standard_error(
    monkeypatch: pytest.MonkeyPatch, pipe: Pipe, log_format: str, expected: str
) -> None:
    monkeypatch.setattr(logs, "_STDERR", pipe.write)
    with logged(log_format=log_format) as (logger, _):
        logger.info("x")
    assert os.read(pipe.read, 999).decode() == expected % PID
    os.fstat(pipe.write)  # it is not closed with the handler
    assert os.get_blocking(pipe.write)


def test_standard_error_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    monkeypatch.setattr(logs, "_STDERR", slave)
    with logged() as (logger, _):
        logger.info("x")
        assert os.read(master, 99) == b"[%d] [\x1b[32mINF\x1b[0m] x\r\n" % PID
    with logged(log_format="json") as (logger, _):
        logger.info("x")
        assert b"\x1b" not in os.read(master, 99)
    with logged(log_file=os.ttyname(slave)) as (logger, _):
        logger.info("x")
        assert os.read(master, 99) == b"[%d] [INF] x\r\n" % PID
    os.close(master)
    os.close(slave)


def test_file_wins_over_syslogs(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with logged(log_file=str(path), remote_syslog="http://x", syslog=True) as (log, _):
        log.info("x")
    assert path.read_text() == f"[{PID}] [INF] x\n"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/nope/x", "no such file or directory"),
        ("/", "is a directory"),
        ("/dev/null/x", "not a directory"),
    ],
)
def test_file_that_cannot_be_opened(path: str, why: str) -> None:
    before = threading.active_count()
    with pytest.raises(logs.LogError) as caught:
        logs.open_handler(Options(log_file=path))
    text = f"error opening file: open {path}: {why}"
    assert caught.value.text == text
    date = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d"
    assert re.fullmatch(f"{date} {re.escape(text)}", str(caught.value))
    assert threading.active_count() == before


# ---- messages ----


def test_line_ends_once_and_is_one(tmp_path: Path) -> None:
    with logged(log_file=str(tmp_path / "log")) as (logger, _):
        logger.info("ends\n\n")
        logger.info("%s", "a\nb\x1b[2J\u20ac")
        logger.info("%s", "x" * 1_000_000)
    assert (tmp_path / "log").read_text().splitlines() == [
        f"[{PID}] [INF] ends",
        f"[{PID}] [INF] a\\nb\\x1b[2J\\u20ac",
        f"[{PID}] [INF] {'x' * 4093}...",
    ]


def test_traceback_lines_have_the_prefix(tmp_path: Path) -> None:
    with logged(log_file=str(tmp_path / "log")) as (logger, _):
        try:
            raise ValueError("bad\nvalue")
        except ValueError:
            logger.exception("went wrong")
    found = (tmp_path / "log").read_text().splitlines()
    assert found[:2] == [
        f"[{PID}] [ERR] went wrong",
        f"[{PID}] [ERR] Traceback (most recent call last):",
    ]
    assert all(line.startswith(f"[{PID}] [ERR] ") for line in found)
    assert found[-2:] == [f"[{PID}] [ERR] ValueError: bad", f"[{PID}] [ERR] value"]


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("secret")


@pytest.mark.parametrize(
    ("text", "args", "kind"),
    [
        ("%d", ("x",), "TypeError"),
        ("%s %s", ("x",), "TypeError"),
        ("%s", (Unprintable(),), "RuntimeError"),
    ],
)
def test_message_that_cannot_be_formatted(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    text: str,
    args: tuple[Any, ...],
    kind: str,
) -> None:
    with logged(log_file=str(tmp_path / "log")) as (logger, _):
        logger.info(text, *args)
        line = sys._getframe().f_lineno - 1
        logger.info("next")
    assert (tmp_path / "log").read_text().splitlines() == [
        f"[{PID}] [INF] Log message of test_log.py:{line} cannot be formatted: {kind}",
        f"[{PID}] [INF] next",
    ]
    assert capfd.readouterr() == ("", "")


# ---- targets that do not take it ----


def test_reader_that_stopped_holds_nobody_up(pipe: Pipe) -> None:
    count = 2 * log_writer.QUEUE_MAX // len(LONG)
    with logged(log_file=pipe.path) as (logger, handler):
        for _ in range(count):
            logger.info("%s", LONG)
        dropped = handler.dropped
        # What the writer took, and what waits: nothing beyond is kept.
        assert count - 2 * ROOM <= dropped <= count - ROOM
        # Once the reader goes on, it learns how many lines are missing.
        found = pipe.lines(count - dropped + 1)
        at = [n for n, line in enumerate(found) if DROPPED.fullmatch(line)]
        assert at == [count - dropped]
        assert missing(found) == dropped
        assert set(found) == {f"[{PID}] [INF] {LONG}"}
        logger.info("after")
        assert pipe.lines(1) == [f"[{PID}] [INF] after"]
        assert (handler.dropped, handler.failed_writes) == (dropped, 0)


def test_mark_stands_where_the_lines_are_missing(pipe: Pipe) -> None:
    with logged(log_file=pipe.path) as (logger, handler):
        while not handler.dropped:
            logger.info("%s", LONG)
        before = pipe.lines(1)
        while handler._writer.is_full():
            before += pipe.lines(1)
        logger.info("there is room")
        found = before + pipe.lines(1)
        while not found[-1].endswith("there is room"):
            found += pipe.lines(1)
        assert DROPPED.fullmatch(found[-2])
        assert found[-1] == f"[{PID}] [INF] there is room"
        assert set(found[:-2]) == {f"[{PID}] [INF] {LONG}"}


def test_records_that_are_dropped_are_not_formatted(pipe: Pipe) -> None:
    with logged(log_file=pipe.path) as (logger, handler):
        while not handler.dropped:
            logger.info("%s", LONG)
        dropped = handler.dropped
        for _ in range(10):
            logger.info("%s", Unprintable())
        assert handler.dropped == dropped + 10


def test_empty_lines_weigh_something(pipe: Pipe) -> None:
    with logged(log_file=pipe.path) as (logger, handler):
        count = 2 * log_writer.QUEUE_MAX // log_writer._ENTRY_COST + 30_000
        record = logger.makeRecord("x", logging.INFO, "f", 1, "", (), None)
        for _ in range(count):
            handler.handle(record)
        assert handler.dropped > 0


def test_close_does_not_wait_for_a_stopped_reader(pipe: Pipe) -> None:
    with logged(log_file=pipe.path) as (logger, handler):
        for _ in range(2000):
            logger.info("%s", LONG)
    until(lambda: not handler._writer._thread.is_alive(), "the end of the writer")
    os.set_blocking(pipe.read, False)
    kept = os.read(pipe.read, 1_000_000).count(b"\n")
    assert 0 < kept < 100
    assert handler.dropped == 2000 - kept
    handler.close()  # again, as `logging` does when the program ends
    logger.info("after the end")
    assert handler.dropped == 2001 - kept


def test_close_waits_but_once(monkeypatch: pytest.MonkeyPatch, pipe: Pipe) -> None:
    """`logging` closes handlers again when the program ends."""
    gate = threading.Event()

    def stick(sink: sinks.Descriptor, lines: deque[bytes]) -> None:
        gate.wait()
        lines.clear()

    monkeypatch.setattr(sinks.Descriptor, "write", stick)
    monkeypatch.setattr(log_writer, "_GRACE", 0.01)
    with logged(log_file=pipe.path) as (logger, handler):
        logger.info("x")
    monkeypatch.setattr(log_writer, "_GRACE", math.inf)  # nobody can wait for that
    handler.close()
    gate.set()
    handler._writer._thread.join(DEADLINE)


def test_close_waits_for_a_slow_reader(
    monkeypatch: pytest.MonkeyPatch, pipe: Pipe
) -> None:
    monkeypatch.setattr(log_writer, "_GRACE", DEADLINE)
    fcntl.fcntl(pipe.write, fcntl.F_SETPIPE_SZ, 4096)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.extend(pipe.lines(300)))
    with logged(log_file=pipe.path) as (logger, handler):
        for _ in range(300):
            logger.info("%s", LONG)
        reader.start()
    reader.join(DEADLINE)
    assert len(found) == 300
    assert handler.dropped == 0


def test_closed_pipe_costs_its_lines_and_nothing_else(pipe: Pipe) -> None:
    with logged(log_file=pipe.path) as (logger, handler):
        os.close(pipe.read)
        pipe.read = -1
        logger.info("x")
        until(lambda: handler.failed_writes == 1, "a failed write")
        logger.info("x")  # and the report before it
        until(lambda: handler.failed_writes == 3, "two more")
        assert handler.dropped == 2


def test_closed_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_STDERR", 999_999)
    with logged() as (logger, handler):
        logger.info("x")
        until(lambda: handler.failed_writes, "a failed write")
        until(lambda: handler.dropped == 1, "the count")


def test_full_disk(tmp_path: Path) -> None:
    with logged(log_file="/dev/full") as (logger, handler):
        for _ in range(1000):
            logger.info("x")
        until(lambda: handler.dropped == 1000, "the count")
        assert 1 <= handler.failed_writes <= 2000
        # The lines that are missing are counted where lines can be written again.
        handler.reconfigure(Options(log_file=str(tmp_path / "log"), logtime=False))
        logger.info("y")
    assert (tmp_path / "log").read_text().splitlines() == [
        f"[{PID}] [ERR] Dropped 1000 lines",
        f"[{PID}] [INF] y",
    ]


def test_line_after_a_torn_one_is_not_glued_to_it(tmp_path: Path) -> None:
    """As on a disk that gets full within a line, and then has room again."""
    path = tmp_path / "log"
    script = (
        "import resource, sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from log_tools import logged, until\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "with logged(log_file=sys.argv[1]) as (logger, handler):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard))\n"
        "    logger.info('a' * 100)\n"
        "    until(lambda: handler.dropped == 1)\n"
        "    logger.info('b')\n"
        "    until(lambda: handler.dropped == 2)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
        "    logger.info('c')\n"
    )
    here = os.path.dirname(__file__)
    child = subprocess.Popen([sys.executable, "-c", script, str(path), here])
    assert child.wait(DEADLINE) == 0
    prefix = f"[{child.pid}] "
    torn, *rest = path.read_text().splitlines()
    assert len(torn) == 50
    assert rest == [f"{prefix}[ERR] Dropped 2 lines", f"{prefix}[INF] c"]


def test_standard_error_without_blocking(
    monkeypatch: pytest.MonkeyPatch, pipe: Pipe
) -> None:
    """Somebody that we share it with has made it so."""
    os.set_blocking(pipe.write, False)
    monkeypatch.setattr(logs, "_STDERR", pipe.write)
    with logged() as (logger, handler):
        for _ in range(1000):
            logger.info("%s", LONG)
        assert len(pipe.lines(1000)) == 1000
        assert (handler.dropped, handler.failed_writes) == (0, 0)


def test_reader_process_that_is_stopped_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "seen"
    with path.open("wb") as out:
        reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=out)
    assert reader.stdin is not None
    with logged(log_file=f"/dev/fd/{reader.stdin.fileno()}") as (logger, handler):
        os.kill(reader.pid, signal.SIGSTOP)
        while not handler.dropped:
            logger.info("%s", LONG)
        os.kill(reader.pid, signal.SIGCONT)
        until(lambda: b"Dropped" in path.read_bytes(), "the report")
        logger.info("after")
        until(lambda: b"after" in path.read_bytes(), "the next line")
    reader.stdin.close()
    assert reader.wait(DEADLINE) == 0
    assert missing(path.read_text().splitlines()) == handler.dropped


# ---- sinks ----


def test_room_that_another_took(monkeypatch: pytest.MonkeyPatch, pipe: Pipe) -> None:
    """Between the question for room and the write."""

    def fail(fd: int, data: bytes) -> int:
        raise BlockingIOError

    sink = sinks.Descriptor(pipe.write, is_ours=False)
    lines = deque([b"x\n"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        sink.write(lines)
    assert list(lines) == [b"x\n"]
    sink.write(lines)
    assert pipe.lines(1) == ["x"]


def test_disk_that_complains_at_the_end(pipe: Pipe) -> None:
    os.close(pipe.write)
    sinks.Descriptor(pipe.write, is_ours=True).close()
    pipe.write = -1


def test_pieces_are_whole_lines() -> None:
    lines = [b"a" * 10 + b"\n", b"b" * 10 + b"\n", b"c" * 100 + b"\n"]
    front = sinks._front
    assert front(deque(lines), 33) == lines[0] + lines[1]
    assert front(deque(lines), 22) == lines[0] + lines[1]
    assert front(deque(lines), 21) == lines[0]
    assert front(deque(lines[2:]), 50) == lines[2]
