"""Syslogs of this machine and elsewhere: exact messages, exact errors, and outages."""

import errno
import logging
import re
import socket
import struct
import threading
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from log_tools import DATAGRAM, PID, logged, place, receiving, until

from pynatsd import log_writer, syslog
from pynatsd.log import TRACE
from pynatsd.options import Options

LONG = "x" * 1000
HOST = socket.gethostname()
LEVELS = [
    (logging.INFO, 29),
    (logging.DEBUG, 31),
    (logging.ERROR, 27),
    (logging.CRITICAL, 26),
    (logging.WARNING, 28),
    (TRACE, 31),
]
LOCAL_TIME = (
    r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 1-3]\d \d\d:\d\d:\d\d"
)
REMOTE_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d) " + re.escape(HOST)


NETWORKS = ["udp", "udp6", "tcp", "tcp6", "unix", "unixgram"]
STREAMS = ["tcp", "unix"]


# ---- messages ----


@pytest.mark.parametrize("network", NETWORKS)
def test_messages(tmp_path: Path, network: str) -> None:
    when = LOCAL_TIME if network.startswith("unix") else REMOTE_TIME
    with receiving(*place(network, tmp_path)) as receiver:
        # Neither the form of other targets nor the time can be chosen.
        settings = {"remote_syslog": receiver.url, "log_format": "json"}
        with logged(**settings) as (logger, handler):
            receiver.accept()
            for level, priority in LEVELS:
                logger.log(level, "127.0.0.1:1 - cid:%d - x\x1b\n", 5)
                assert re.fullmatch(
                    rf"<{priority}>{when} pynatsd\[{PID}\]: "
                    r"127\.0\.0\.1:1 - cid:5 - x\\x1b\n",
                    receiver.message(),
                )
        assert (handler.dropped, handler.failed_writes) == (0, 0)


@pytest.mark.parametrize("network", NETWORKS)
def test_many_messages_in_order(tmp_path: Path, network: str) -> None:
    with receiving(*place(network, tmp_path)) as receiver:
        with logged(remote_syslog=receiver.url) as (logger, handler):
            receiver.accept()
            for start in range(0, 1000, 50):
                for number in range(start, start + 50):
                    logger.info("%d %s", number, LONG)
                for number in range(start, start + 50):
                    assert receiver.text() == f"{number} {LONG}"
        assert (handler.dropped, handler.failed_writes) == (0, 0)


@pytest.mark.parametrize("network", ["unix", "unixgram"])
def test_syslog_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    paths = (str(tmp_path / "nope"), str(tmp_path / "syslog"))
    monkeypatch.setattr(syslog, "LOCAL_PATHS", paths)
    with (
        receiving(*place(network, tmp_path)) as receiver,
        logged(syslog=True) as (logger, _),
    ):
        receiver.accept()
        for level, priority in LEVELS:
            logger.log(level, "x")
            assert re.fullmatch(
                rf"<{priority}>{LOCAL_TIME} pynatsd\[{PID}\]: x\n",
                receiver.message(),
            )


def test_paths_are_those_of_the_original() -> None:
    assert syslog.LOCAL_PATHS == ("/dev/log", "/var/run/syslog", "/var/run/log")


def test_remote_wins_over_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "LOCAL_PATHS", ())
    with (
        receiving(*place("udp", tmp_path)) as receiver,
        logged(remote_syslog=receiver.url, syslog=True) as (logger, _),
    ):
        logger.info("x")
        assert receiver.text() == "x"


def test_message_too_long_for_the_syslog(tmp_path: Path) -> None:
    """As on systems whose sockets take 2 KiB at once; and one that has no room."""

    class Small(socket.socket):
        has_room = False

        def send(self, data: Any, flags: int = 0) -> int:
            if len(data) > 2048:
                raise OSError(errno.EMSGSIZE, "Message too long")
            if not self.has_room:
                self.has_room = True
                raise BlockingIOError
            return super().send(data, flags)

    def connect() -> socket.socket:
        sock = Small(socket.AF_UNIX, DATAGRAM)
        sock.connect(str(tmp_path / "syslog"))
        return sock

    with receiving(*place("unixgram", tmp_path)) as receiver:
        sink = syslog.Syslog(connect)
        lines = deque([b"x" * 3000 + b"\n", b"next\n"])
        while lines:
            sink.write(lines)
        sink.close()
        assert receiver.message() == "x" * 1023 + "\n"
        assert receiver.message() == "next\n"


def test_empty_datagram_is_no_end(tmp_path: Path) -> None:
    with (
        receiving(*place("udp", tmp_path)) as receiver,
        logged(remote_syslog=receiver.url) as (logger, handler),
    ):
        logger.info("x")
        _, peer = receiver.socket.recvfrom(999)
        receiver.socket.sendto(b"", peer)
        logger.info("y")
        assert receiver.text() == "y"
        assert handler.failed_writes == 0


# ---- outages ----


@pytest.mark.parametrize("network", STREAMS)
def test_syslog_that_is_started_again(tmp_path: Path, network: str) -> None:
    """What is logged while there is none arrives later, in order, and all of it."""
    with receiving(*place(network, tmp_path)) as receiver:
        with logged(remote_syslog=receiver.url) as (logger, handler):
            receiver.accept()
            logger.info("before")
            assert receiver.text() == "before"
            address = receiver.address
            receiver.close()
            Path(tmp_path / "syslog").unlink(missing_ok=True)
            for number in range(500):
                logger.info("%d", number)
            until(lambda: handler.failed_writes >= 2, "a failure")
            with receiving(receiver.kind, address) as again:
                again.accept()
                for number in range(500):
                    assert again.text() == str(number)
        assert handler.dropped == 0


@pytest.mark.parametrize("network", STREAMS)
def test_connection_that_the_syslog_closes(tmp_path: Path, network: str) -> None:
    """It is noticed before the next line is sent into nowhere."""
    with receiving(*place(network, tmp_path)) as receiver:
        with logged(remote_syslog=receiver.url) as (logger, handler):
            for number in range(3):
                logger.info("%d", number)
                receiver.accept()
                assert receiver.text() == str(number)
                receiver.hang_up()
            logger.info("last")
            receiver.accept()
            assert receiver.text() == "last"
        assert handler.dropped == 0
        assert handler.failed_writes == 3


def test_line_that_was_cut_is_sent_again(tmp_path: Path) -> None:
    with receiving(*place("unix", tmp_path)) as receiver:
        sink = syslog.open_remote(receiver.url)
        assert sink._socket is not None
        sink._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        receiver.accept()
        line = b"x" * 1_000_000 + b"\n"
        lines = deque([line])
        sink.write(lines)
        assert sink._begun
        receiver.hang_up()
        with pytest.raises(ConnectionError):
            sink.write(lines)
        assert list(lines) == [line]
        reader = threading.Thread(target=receiver.accept)
        reader.start()
        sink.write(lines)
        reader.join()
        reader = threading.Thread(target=lambda: found.append(receiver.message()))
        found: list[str] = []
        reader.start()
        while lines:
            sink.write(lines)
        reader.join()
        assert found == [line.decode()]
        sink.close()


def test_line_that_is_given_up_is_not_continued(tmp_path: Path) -> None:
    with receiving(*place("unix", tmp_path)) as receiver:
        sink = syslog.open_remote(receiver.url)
        receiver.accept()
        sink.abandon()  # nothing was begun: the connection stays
        assert sink._socket is not None
        sink.write(deque([b"x" * 1_000_000 + b"\n"]))
        assert sink._begun
        sink.abandon()
        lines = deque([b"next\n"])
        sink.write(lines)
        receiver.hang_up()
        receiver.accept()
        assert receiver.message() == "next\n"
        sink.close()


@pytest.mark.parametrize("network", ["udp", "unixgram"])
def test_datagrams_while_nobody_listens(tmp_path: Path, network: str) -> None:
    """They wait; but a network does not tell in time of each that it refused."""
    with receiving(*place(network, tmp_path)) as receiver:
        with logged(remote_syslog=receiver.url) as (logger, handler):
            logger.info("before")
            assert receiver.text() == "before"
            address = receiver.address
            receiver.close()
            Path(tmp_path / "syslog").unlink(missing_ok=True)
            for number in range(50):
                logger.info("%d", number)
            until(lambda: handler.failed_writes >= 2, "a failure")
            with receiving(DATAGRAM, address) as again:
                first = int(again.text())
                lost = handler.failed_writes if network == "udp" else 0
                assert first <= lost
                for number in range(first + 1, 50):
                    assert again.text() == str(number)
        assert handler.dropped == 0


@pytest.mark.parametrize("network", [*STREAMS, "unixgram"])
def test_syslog_that_stops_reading_holds_nobody_up(
    tmp_path: Path, network: str
) -> None:
    with receiving(*place(network, tmp_path)) as receiver:
        with logged(remote_syslog=receiver.url) as (logger, handler):
            receiver.accept()
            count = 0
            while not handler.dropped:
                logger.info("%s", LONG)
                count += 1
            dropped = handler.dropped
            found = [receiver.text() for _ in range(count - dropped + 1)]
            assert found.pop() == f"Dropped {dropped} lines"
            assert set(found) == {LONG}
        assert handler.failed_writes == 0


@pytest.mark.parametrize("network", STREAMS)
def test_dead_syslog_fills_the_queue_and_no_more(tmp_path: Path, network: str) -> None:
    with receiving(*place(network, tmp_path)) as receiver:
        with logged(remote_syslog=receiver.url) as (logger, handler):
            receiver.close()
            for _ in range(3 * log_writer.QUEUE_MAX // len(LONG)):
                logger.info("%s", LONG)
            assert handler.dropped > 0
        until(lambda: not handler._writer._thread.is_alive(), "the end of the writer")
        assert handler.dropped == 3 * log_writer.QUEUE_MAX // len(LONG)


def test_peer_that_talks_is_not_listened_to(tmp_path: Path) -> None:
    with receiving(*place("tcp", tmp_path)) as receiver:
        with logged(remote_syslog=receiver.url) as (logger, handler):
            receiver.accept()
            receiver.peer.sendall(b"hello" * 1000)
            for number in range(100):
                logger.info("%d", number)
                assert receiver.text() == str(number)
        assert handler.failed_writes == 0


def test_reset_connection(tmp_path: Path) -> None:
    with receiving(*place("tcp", tmp_path)) as receiver:
        with logged(remote_syslog=receiver.url) as (logger, handler):
            receiver.accept()
            linger = struct.pack("ii", 1, 0)
            receiver.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            receiver.hang_up()
            logger.info("x")
            receiver.accept()
            assert receiver.text() == "x"
        assert handler.failed_writes == 1


def test_other_target_frees_from_a_dead_syslog(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with (
        receiving(*place("tcp", tmp_path)) as receiver,
        logged(remote_syslog=receiver.url) as (logger, handler),
    ):
        receiver.close()
        logger.info("lost")
        until(lambda: handler.failed_writes >= 1, "a failure")
        handler.reconfigure(Options(log_file=str(path), logtime=False))
        logger.info("x")
        until(lambda: path.read_text().endswith("x\n"), "the line")
    assert path.read_text() == (f"[{PID}] [ERR] Dropped 1 lines\n[{PID}] [INF] x\n")


def test_from_file_to_syslog_and_back(tmp_path: Path) -> None:
    path = tmp_path / "log"
    in_file = Options(log_file=str(path), logtime=False)
    with receiving(*place("tcp", tmp_path)) as receiver:
        with logged(log_file=str(path)) as (logger, handler):
            logger.info("one")
            handler.reconfigure(Options(remote_syslog=receiver.url))
            receiver.accept()
            logger.info("two")
            handler.reopen()
            assert receiver.text() == "two"
            text = "File log re-open ignored, not a file logger"
            assert receiver.text() == text
            handler.reconfigure(in_file)
            logger.info("three")
        assert receiver.peer.recv(1) == b""
    assert path.read_text() == f"[{PID}] [INF] one\n[{PID}] [INF] three\n"
