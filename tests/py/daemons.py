"""The command as a process: run to its end, or from its readiness line on."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SECONDS = 20.0


def run(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pynatsd", *words],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        **more,
    )


class Daemon:
    """A server in a process of its own, and the lines that it has logged so far."""

    def __init__(self, words: tuple[str, ...], **more: Any) -> None:
        command = [sys.executable, "-m", "pynatsd", "-a", "127.0.0.1"]
        self.process = subprocess.Popen(
            [*command, *([] if "-p" in words else ["-p", "-1"]), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )
        self.pid = self.process.pid
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._is_over = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more:
                self.lines.append(line)
                self._more.notify_all()
        with self._more:
            self._is_over = True
            self._more.notify_all()

    def wait_for(self, text: str, count: int = 1) -> str:
        """
        Wait until *text* has been logged *count* times; returns the last such line.

        Raises:
            AssertionError: it was not in time, or the process ended before.
        """

        def found() -> list[str]:
            return [line for line in self.lines if text in line]

        with self._more:
            self._more.wait_for(lambda: len(found()) >= count or self._is_over, SECONDS)
            assert len(found()) >= count, f"no {text!r} in {self.lines}"
            return found()[count - 1]

    @property
    def address(self) -> tuple[str, int]:
        line = self.wait_for("Listening for client connections on ")
        return "127.0.0.1", int(line.rsplit(":", 1)[1])

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit status, when it has ended by itself."""
        status = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return status

    def end(self, number: int = signal.SIGTERM) -> list[str]:
        """Signal it and wait; all lines that it wrote."""
        self.send(number)
        self.wait()
        assert self.process.stdout is not None
        assert self.process.stdout.read() == ""
        return self.lines

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


@contextmanager
def daemon(
    *words: str, ready: str = "Server is ready", **more: Any
) -> Iterator[Daemon]:
    """The command on a free port, from its readiness line on."""
    started = Daemon(words, **more)
    try:
        started.wait_for(ready)
        yield started
    finally:
        started.close()


def texts(lines: list[str]) -> list[str]:
    """Without the process id and the time."""
    return [re.sub(r"^\[\d+\] (\S+ \S+ )?(?=\[[A-Z]{3}\])", "", line) for line in lines]
