"""Another file, another form, another target, while lines are being logged."""

import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from log_tools import DEADLINE, PID, Pipe, logged, piped, until, written

from pynatsd import log as logs
from pynatsd import log_writer
from pynatsd.options import Options
from pynatsd.sinks import Descriptor

LONG = "x" * 1000


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with piped() as made:
        yield made


# ---- the file again, by its name ----


def test_reopen(tmp_path: Path) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    with logged(log_file=str(path)) as (logger, handler):
        logger.info("one")
        written(path, 1)
        path.rename(old)
        logger.info("two")
        handler.reopen()
        logger.info("three")
    assert old.read_text() == f"[{PID}] [INF] one\n[{PID}] [INF] two\n"
    assert path.read_text() == (
        f"[{PID}] [INF] File log re-opened\n[{PID}] [INF] three\n"
    )
    assert path.stat().st_mode & 0o007 == 0


def test_reopen_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    with logged(log_file=str(path)) as (logger, handler):
        path.rename(old)
        path.mkdir()
        handler.reopen()
        logger.info("x")
        written(old, 2)
        path.rmdir()
        handler.reopen()
        logger.info("y")
    why = f"File log not re-opened: open {path}: is a directory"
    assert old.read_text() == f"[{PID}] [ERR] {why}\n[{PID}] [INF] x\n"
    assert path.read_text() == f"[{PID}] [INF] File log re-opened\n[{PID}] [INF] y\n"


def test_reopen_of_what_is_no_file(monkeypatch: pytest.MonkeyPatch, pipe: Pipe) -> None:
    monkeypatch.setattr(logs, "_STDERR", pipe.write)
    with logged() as (_, handler):
        handler.reopen()
        text = "File log re-open ignored, not a file logger"
        assert pipe.lines(1) == [f"[{PID}] [INF] {text}"]


def test_target_with_progress_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """However slow: each of these lines takes most of the patience there is."""
    one, two = tmp_path / "one", tmp_path / "two"
    passed = 0.0

    class Clock:
        time = time.time

        @staticmethod
        def monotonic() -> float:
            return passed

    class Slow(Descriptor):
        def write(self, lines: deque[bytes]) -> None:
            nonlocal passed
            passed += 0.9 * log_writer._GRACE
            first = deque([lines.popleft()])
            super().write(first)

    monkeypatch.setattr(log_writer, "time", Clock)
    monkeypatch.setattr(logs, "Descriptor", Slow)
    with logged(log_file=str(one)) as (logger, handler):
        for number in range(100):
            logger.info("%d", number)
        handler.reconfigure(Options(log_file=str(two), logtime=False))
        logger.info("after")
        assert written(two, 1) == [f"[{PID}] [INF] after"]
    assert len(written(one, 100)) == 100
    assert handler.dropped == 0


def test_patience_returns_when_orders_are_carried_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    with logged(log_file=str(path)) as (logger, handler):
        handler.reopen()
        written(path, 1)
        until(lambda: not handler._writer._orders, "the end of the order")
        monkeypatch.setattr(log_writer, "_GRACE", 0.0)
        logger.info("x")
        assert written(path, 2)[1] == f"[{PID}] [INF] x"
    assert handler.dropped == 0


@pytest.mark.parametrize("last", ["a file", "the end"])
def test_orders_behind_one_another(tmp_path: Path, pipe: Pipe, last: str) -> None:
    """From a target that is stuck to another that is, and away from it too."""
    path = tmp_path / "log"
    with piped() as other, logged(log_file=pipe.path) as (logger, handler):
        for _ in range(1000):
            logger.info("%s", LONG)
        handler.reconfigure(Options(log_file=other.path))
        for _ in range(1000):
            logger.info("%s", LONG)
        if last == "a file":
            handler.reconfigure(Options(log_file=str(path), logtime=False))
            logger.info("after")
            assert written(path, 2)[1:] == [f"[{PID}] [INF] after"]
        else:
            handler.close()
            writer = handler._writer._thread
            until(lambda: not writer.is_alive(), "the end of the writer")


def test_line_that_was_begun_is_given_up(pipe: Pipe) -> None:
    """The target is full, cannot be replaced, and takes lines again later."""
    with logged(log_file=pipe.path) as (logger, handler):
        sink = handler._writer._target.sink
        assert isinstance(sink, Descriptor)
        logger.info("short")  # so that a long one does not end where the pipe does
        for _ in range(100):
            logger.info("%s", "x" * 5000)
        until(lambda: sink._begun, "a line that is written in part")
        os.close(pipe.write)
        pipe.write = -1
        handler.reopen()
        until(lambda: handler.dropped, "the end of patience")
        until(lambda: not handler._writer._orders, "the end of the order")
        dropped = handler.dropped
        logger.info("next")
        found = pipe.lines(102 - dropped)
        while not found[-1].endswith("next"):
            found += pipe.lines(1)
    assert found[-3] == f"[{PID}] [INF] {'x' * 4093}..."[:4096]
    assert found[-2:] == [
        f"[{PID}] [ERR] Dropped {dropped} lines",
        f"[{PID}] [INF] next",
    ]


def test_storm_of_orders_takes_no_room(
    monkeypatch: pytest.MonkeyPatch, pipe: Pipe
) -> None:
    monkeypatch.setattr(log_writer, "_GRACE", DEADLINE)
    with logged(log_file=pipe.path) as (logger, handler):
        for _ in range(101):
            logger.info("%s", LONG)
        until(lambda: not handler._writer._entries, "that the writer is busy")
        for _ in range(1000):
            handler.reopen()
        assert len(handler._writer._entries) == 1
        logger.info("y")
        handler.reopen()
        assert len(handler._writer._entries) == 3
        assert pipe.lines(104)[-3:] == [
            f"[{PID}] [INF] File log re-opened",
            f"[{PID}] [INF] y",
            f"[{PID}] [INF] File log re-opened",
        ]


def test_storm_of_orders_that_are_ignored_is_bounded(
    monkeypatch: pytest.MonkeyPatch, pipe: Pipe
) -> None:
    monkeypatch.setattr(logs, "_STDERR", pipe.write)
    with logged() as (logger, handler):
        while not handler.dropped:
            logger.info("%s", LONG)
        waiting = len(handler._writer._entries)
        dropped = handler.dropped
        handler.reopen()
        assert len(handler._writer._entries) == waiting
        assert handler.dropped == dropped + 1


def test_nothing_is_lost_or_doubled_while_files_are_turned(tmp_path: Path) -> None:
    """Four threads log while the file is renamed and opened anew, forty times."""
    path = tmp_path / "log"
    threads = []
    with logged(log_file=str(path)) as (logger, handler):

        def talk(who: int) -> None:
            for number in range(1000):
                logger.info("%d %d", who, number)

        for who in range(4):
            threads.append(threading.Thread(target=talk, args=(who,)))
            threads[-1].start()
        for turn in range(40):
            path.rename(tmp_path / f"log.{turn:02}")
            handler.reopen()
            until(path.exists, "the new file")
        for thread in threads:
            thread.join()
    lines = [
        line.split("] ", 2)[2]
        for file in [*sorted(tmp_path.glob("log.*")), path]
        for line in file.read_text().splitlines()
    ]
    assert lines.count("File log re-opened") == 40
    for who in range(4):
        assert [line for line in lines if line.startswith(f"{who} ")] == [
            f"{who} {number}" for number in range(1000)
        ]
    assert (handler.dropped, handler.failed_writes) == (0, 0)


def test_descriptors_are_closed(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with logged(log_file=str(tmp_path / "log")) as (logger, handler):
        for number in range(10):
            handler.reopen()
            handler.reconfigure(Options(log_file=str(tmp_path / f"{number}")))
        logger.info("x")
    assert len(os.listdir("/proc/self/fd")) == before


# ---- other settings while it runs ----


def test_reconfigure(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    with logged(log_file=str(one)) as (logger, handler):
        logger.info("a")
        handler.reconfigure(
            Options(log_file=str(two), log_format="json", logtime=False)
        )
        logger.info("b")
        handler.reconfigure(Options(log_file=str(two), logtime=False))
        logger.info("c")
        two.rename(tmp_path / "three")
        handler.reopen()
        logger.info("d")
    assert one.read_text() == f"[{PID}] [INF] a\n"
    assert (tmp_path / "three").read_text() == (
        f'{{"level":"info","pid":{PID},"message":"b"}}\n[{PID}] [INF] c\n'
    )
    assert two.read_text() == f"[{PID}] [INF] File log re-opened\n[{PID}] [INF] d\n"


def test_reconfigure_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with logged(log_file=str(path)) as (logger, handler):
        logger.info("a")
        with pytest.raises(logs.LogError) as caught:
            handler.reconfigure(Options(log_file="/nope/x", log_format="json"))
        assert caught.value.text == (
            "error opening file: open /nope/x: no such file or directory"
        )
        logger.info("b")
        path.rename(tmp_path / "log.1")
        handler.reopen()
    assert (tmp_path / "log.1").read_text() == f"[{PID}] [INF] a\n[{PID}] [INF] b\n"
    assert path.read_text() == f"[{PID}] [INF] File log re-opened\n"


def test_reconfigure_without_a_change_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with logged(log_file=str(path)) as (logger, handler):
        path.rename(tmp_path / "log.1")
        handler.reconfigure(
            Options(log_file=str(path), logtime=False, debug=True, port=7)
        )
        logger.info("a")
    assert not path.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"log_format": "json"},
        {"logtime": True},
        {"log_file": "/dev/null"},
        {"remote_syslog": "udp://127.0.0.1:9"},
        {"syslog": True},
    ],
)
def test_what_counts_as_a_change(tmp_path: Path, change: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"log_file": str(tmp_path / "log"), "logtime": False}
    before, after = Options(**settings), Options(**{**settings, **change})
    assert logs._settings(before) != logs._settings(after)


@pytest.mark.parametrize("target", ["pipe", "stderr"])
def test_reconfigure_frees_from_a_reader_that_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pipe: Pipe, target: str
) -> None:
    path = tmp_path / "log"
    monkeypatch.setattr(logs, "_STDERR", pipe.write)
    log_file = pipe.path if target == "pipe" else ""
    with logged(log_file=log_file) as (logger, handler):
        for _ in range(2000):
            logger.info("%s", LONG)
        handler.reconfigure(Options(log_file=str(path), logtime=False))
        logger.info("after")
        found = written(path, 2)
    mark = re.fullmatch(rf"\[{PID}\] \[ERR\] Dropped (\d+) lines", found[0])
    assert mark is not None
    assert found[1:] == [f"[{PID}] [INF] after"]
    dropped = int(mark[1])
    os.set_blocking(pipe.read, False)
    assert os.read(pipe.read, 1_000_000).count(b"\n") + dropped == 2000
    assert handler.dropped == dropped
