"""The original's line format, and a writer that never holds up its callers."""

import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pynatsd import log as logs

PID = os.getpid()


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """One of our own, beside the tree of loggers."""
    made = logging.Logger("test", level=1)
    yield made
    for handler in made.handlers:
        handler.close()


def written(logger: logging.Logger, path: Path, *, logtime: bool = False) -> int:
    fd = logs.open_file(str(path))
    logger.addHandler(logs.Handler(fd, logtime=logtime))
    return fd


def lines(logger: logging.Logger, fd: int, path: Path) -> list[str]:
    """Everything that was written, after closing."""
    for handler in list(logger.handlers):
        handler.close()
        logger.removeHandler(handler)
    os.close(fd)
    return path.read_text().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("level", "label"),
    [
        (logging.INFO, "INF"),
        (logging.DEBUG, "DBG"),
        (logging.ERROR, "ERR"),
        (logging.CRITICAL, "FTL"),
        (logs.TRACE, "TRC"),
    ],
)
def test_labels(logger: logging.Logger, tmp_path: Path, level: int, label: str) -> None:
    fd = written(logger, tmp_path / "log")
    logger.log(level, "text %d", 1)
    assert lines(logger, fd, tmp_path / "log") == [f"[{PID}] [{label}] text 1\n"]


def test_time_stamp(logger: logging.Logger, tmp_path: Path) -> None:
    fd = written(logger, tmp_path / "log", logtime=True)
    before = time.time()
    logger.info("one")
    logger.info("two")
    after = time.time()
    pattern = (
        rf"\[{PID}\] (\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d)\.(\d{{6}}) \[INF\] (one|two)\n"
    )
    for line in lines(logger, fd, tmp_path / "log"):
        match = re.fullmatch(pattern, line)
        assert match is not None
        seconds = time.mktime(time.strptime(match[1], "%Y/%m/%d %H:%M:%S"))
        when = seconds + int(match[2]) / 1_000_000
        assert before - 0.001 <= when <= after


def test_time_stamp_follows_the_second() -> None:
    form = logs._Format(logtime=True, colours=False)
    stamps = [form.line("INF", when, "x").split()[2] for when in (5.25, 5.5, 6, 5.25)]
    assert [s[-9:] for s in stamps] == [
        *("05.250000", "05.500000", "06.000000", "05.250000")
    ]


@pytest.mark.parametrize(
    ("label", "colour"),
    [("INF", 32), ("DBG", 36), ("ERR", 31), ("FTL", 31), ("TRC", 33)],
)
def test_colours_on_a_terminal(label: str, colour: int) -> None:
    form = logs._Format(logtime=False, colours=True)
    assert form.line(label, 0.0, "x") == f"[{PID}] [\x1b[{colour}m{label}\x1b[0m] x\n"


def test_handler_on_a_terminal(logger: logging.Logger) -> None:
    master, slave = os.openpty()
    handler = logs.Handler(slave, logtime=False)
    logger.addHandler(handler)
    logger.info("x")
    handler.close()
    assert os.read(master, 100) == b"[%d] [\x1b[32mINF\x1b[0m] x\r\n" % PID
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ~", "plain ~"),
        ("ends\n\n", "ends"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31mred\x07\x7f", "\\x1b[31mred\\x07\\x7f"),
        ("tab\tcr\r.", "tab\\tcr\\r."),
        ("é\u20ac😀", "\\xe9\\u20ac\\U0001f600"),
        ("\ud800", "\\ud800"),
        ("x" * 1_000_000, "x" * 4093 + "..."),
        ("\x00" * 4000, ("\\x00" * 4000)[:4096]),
    ],
)
def test_one_printable_bounded_line(
    logger: logging.Logger, tmp_path: Path, text: str, expected: str
) -> None:
    fd = written(logger, tmp_path / "log")
    logger.info("%s", text)
    assert lines(logger, fd, tmp_path / "log") == [f"[{PID}] [INF] {expected}\n"]


def test_traceback_lines_have_the_prefix(
    logger: logging.Logger, tmp_path: Path
) -> None:
    fd = written(logger, tmp_path / "log")
    try:
        raise ValueError("bad\nvalue")
    except ValueError:
        logger.exception("went wrong")
    found = lines(logger, fd, tmp_path / "log")
    assert found[0] == f"[{PID}] [ERR] went wrong\n"
    assert found[1] == f"[{PID}] [ERR] Traceback (most recent call last):\n"
    assert all(line.startswith(f"[{PID}] [ERR] ") for line in found)
    assert found[-1] == f"[{PID}] [ERR] value\n"


def test_a_reader_that_stopped_holds_nobody_up(logger: logging.Logger) -> None:
    read, write = os.pipe()
    handler = logs.Handler(write, logtime=False)
    logger.addHandler(handler)
    text = "x" * 1000
    began = time.monotonic()
    for _ in range(2 * logs.QUEUE_MAX // len(text)):
        logger.info("%s", text)
    assert time.monotonic() - began < 10
    dropped = handler._dropped
    assert dropped > 0
    # Once it reads again, it learns how many lines are missing.
    seen: list[bytes] = []

    def drain() -> None:
        while chunk := os.read(read, 65536):
            seen.append(chunk)

    reader = threading.Thread(target=drain)
    reader.start()
    handler._writer.join(0)
    deadline = time.monotonic() + 10
    while handler._dropped and time.monotonic() < deadline:
        time.sleep(0.005)
    handler.close()
    os.close(write)
    reader.join()
    os.close(read)
    found = b"".join(seen).decode().splitlines()
    assert f"[{PID}] [ERR] Dropped {dropped} lines" in found
    assert len(found) - 1 + dropped == 2 * logs.QUEUE_MAX // len(text)


def test_close_does_not_wait_for_a_stopped_reader(logger: logging.Logger) -> None:
    read, write = os.pipe()
    handler = logs.Handler(write, logtime=False)
    logger.addHandler(handler)
    logger.info("%s", "x" * 4000)
    for _ in range(40):
        logger.info("%s", "x" * 4000)
    began = time.monotonic()
    handler.close()
    assert time.monotonic() - began < 2
    os.close(read)  # the writer's write fails, and it ends
    handler._writer.join(5)
    assert not handler._writer.is_alive()
    os.close(write)


def test_file_is_created_private_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    mask = os.umask(0)
    try:
        fd = logs.open_file(str(path))
    finally:
        os.umask(mask)
    os.write(fd, b"one\n")
    os.close(fd)
    assert path.stat().st_mode & 0o777 == 0o640
    fd = logs.open_file(str(path))
    os.write(fd, b"two\n")
    os.close(fd)
    assert path.read_bytes() == b"one\ntwo\n"


def test_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        logs.open_file(str(tmp_path / "log"))
    assert not (tmp_path / "elsewhere").exists()


def test_devices_are_allowed() -> None:
    os.close(logs.open_file("/dev/null"))
    os.close(logs.open_file("/dev/stderr"))


def test_reason_has_the_case_of_the_original() -> None:
    assert logs.reason(FileNotFoundError(2, "x")) == "no such file or directory"
