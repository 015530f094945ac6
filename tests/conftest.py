"""Fixtures that start the server: embedded in the test, or as a process of its own.

PYNATSD_TARGET=host:port aims the wire tests at a server that runs already; tests that
need one of their own are then skipped. Run those without -n: they share subjects.
PYNATSD_SLOW_FACTOR multiplies every deadline, for sanitizers and slow machines.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SLOW = float(os.environ.get("PYNATSD_SLOW_FACTOR", "1"))
TARGET = os.environ.get("PYNATSD_TARGET", "")
SANITIZED = bool(os.environ.get("PYNATSD_SANITIZE"))
START_SECONDS = 20 * SLOW
STOP_SECONDS = 10 * SLOW

BAD_WORDS = re.compile(r"Traceback|AddressSanitizer|runtime error|callback error")
LISTENING = re.compile(r"Listening for client connections on \S+:(\d+)")
EMBEDDING = Path(__file__).parent / "wire" / "serve.py"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "ours(reason): behaviour in which nats-server differs from us"
    )
    # What a shell ignores for a job in the background, its children would ignore too.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def need_own_server() -> None:
    """Skip the test if another server was named as the one to test."""
    if TARGET:
        pytest.skip("needs a server of its own")


class Process:
    """A server in a process of its own, with what can be seen of it from outside."""

    def __init__(self, argv: list[str], *, nofile: int | None = None) -> None:
        """
        Start *argv*; *nofile* is the hard limit on its descriptors.
        """
        if nofile is not None:
            argv = ["/bin/sh", "-c", f'ulimit -n {nofile}; exec "$0" "$@"', *argv]
        self.child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.pid = self.child.pid
        self.port = 0
        self.lines: list[str] = []
        self.ready = threading.Event()
        self.ended = threading.Event()
        self.reader = threading.Thread(target=self.collect, daemon=True)
        self.reader.start()

    def collect(self) -> None:
        assert self.child.stderr is not None
        with self.child.stderr as stderr:
            for line in stderr:
                self.lines.append(line.rstrip("\n"))
                if found := LISTENING.search(line):
                    self.port = int(found[1])
                if "Server is ready" in line:
                    self.ready.set()
        self.ended.set()
        self.ready.set()

    @property
    def stderr(self) -> str:
        return "\n".join(self.lines)

    def wait_ready(self) -> None:
        """
        Wait until the server says that it is ready.

        Raises:
            AssertionError: it ended or said nothing in time.
        """
        in_time = self.ready.wait(START_SECONDS)
        assert in_time, f"not ready in time:\n{self.stderr}"
        assert not self.ended.is_set(), f"ended at once:\n{self.stderr}"
        assert self.port, f"named no port:\n{self.stderr}"

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """
        Wait for the end of the process and of its stderr; returns the exit status.
        """
        try:
            status = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            pytest.fail(f"still running after {seconds} s:\n{self.stderr}")
        self.reader.join(STOP_SECONDS)
        return status

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """
        End the process with a signal and look at what it leaves behind.

        Raises:
            AssertionError: an exit status other than 0, or signs of an error.
        """
        if self.child.poll() is None:
            self.child.send_signal(number)
        status = self.wait()
        assert not BAD_WORDS.search(self.stderr), self.stderr
        assert status == 0, f"exit status {status}:\n{self.stderr}"

    def rss(self) -> int:
        """Resident memory in bytes; 0 under a sanitizer, which takes far more."""
        if SANITIZED:
            return 0
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024

    def descriptors(self) -> int:
        """How many descriptors are open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu(self) -> float:
        """CPU time used since the start, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def server() -> Iterator[Callable[..., Process]]:
    """Start servers in processes of their own; each must end well after the test.

    server(*flags, threads=, nofile=) runs the command. With further options it runs
    a small program that embeds the server, because not every option has a flag.
    """
    need_own_server()
    started: list[Process] = []

    def start(
        *flags: str,
        threads: int = 2,
        nofile: int | None = None,
        wait: bool = True,
        **options: Any,
    ) -> Process:
        if options:
            assert not flags, "flags are for the command, options for the embedded"
            argv = [str(EMBEDDING), json.dumps({"threads": threads, **options})]
        else:
            argv = ["-m", "pynatsd", "-a", "127.0.0.1", "--threads", str(threads)]
            argv += [] if "-p" in flags else ["-p", "-1"]
            argv += flags
        process = Process([sys.executable, *argv], nofile=nofile)
        started.append(process)
        if wait:
            process.wait_ready()
        return process

    yield start
    with contextlib.ExitStack() as stack:
        for process in started:
            if process.child.returncode is None:
                stack.callback(process.stop)


class Complaints(logging.Handler):
    """Keeps the log records of errors of ours: those that carry a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.exc_info or BAD_WORDS.search(text):
            self.seen.append(text)


@pytest.fixture
def embedded() -> Iterator[Callable[..., Any]]:
    """Start servers inside the test: embedded(threads=4, max_payload=100, ...)."""
    need_own_server()
    import pynatsd

    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    try:
        with contextlib.ExitStack() as stack:

            def start(**options: Any) -> Any:
                options.setdefault("host", "127.0.0.1")
                return stack.enter_context(pynatsd.Server(port=0, **options))

            yield start
    finally:
        logging.getLogger().removeHandler(complaints)
    assert not complaints.seen, "\n".join(complaints.seen)


@pytest.fixture(params=[0] if TARGET else [1, 4], ids="threads{}".format)
def threads(request: pytest.FixtureRequest) -> int:
    """The number of reactors; a test that asks for it runs once with each."""
    count: int = request.param
    return count
