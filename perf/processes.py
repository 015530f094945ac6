"""The processes of a measurement: servers and the generator."""

from __future__ import annotations

import json
import os
import resource
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PERF = Path(__file__).resolve().parent
ROOT = PERF.parent
LOAD = PERF / "_build" / "load"
HOST = "127.0.0.1"

START_SECONDS = 10.0
STOP_SECONDS = 5.0
LOAD_SECONDS = 120.0

WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Werror"]
FLAGS = ["-O2", "-std=c11", "-D_GNU_SOURCE", *WARNINGS]


class MeasureError(Exception):
    """Something that the measurement needs did not start."""


def build_load() -> None:
    """
    Compile the generator unless it is newer than its sources.

    Raises:
        MeasureError: the compiler is missing or refuses.
    """
    sources = sorted(PERF.glob("load*.c"))
    newest = max(path.stat().st_mtime for path in [*sources, PERF / "load.h"])
    if LOAD.exists() and LOAD.stat().st_mtime > newest:
        return
    LOAD.parent.mkdir(exist_ok=True)
    fresh = LOAD.with_suffix(f".{os.getpid()}")
    command = [os.environ.get("CC", "cc"), *FLAGS, "-o", str(fresh), *map(str, sources)]
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MeasureError(f"cannot compile the generator: {error}") from error
    fresh.replace(LOAD)


def placed_on(cpu: int | None) -> Callable[[], None]:
    """Return what a child runs before its program: one CPU or any, all descriptors."""

    def prepare() -> None:
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    return prepare


def free_port() -> int:
    """Return a TCP port of the loopback that nobody has just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Server:
    """A server under test; *version* is the one in its INFO."""

    port: int
    pid: int
    version: str

    def rss_kib(self) -> int:
        """
        Return the resident memory of the process, in KiB.

        Raises:
            MeasureError: it has ended.
        """
        return self._status_kib("VmRSS:")

    def peak_kib(self) -> int:
        """Return the most that it was since `forget_peak`, as the kernel kept it."""
        return self._status_kib("VmHWM:")

    def forget_peak(self) -> None:
        """
        Let the peak start again at what is resident now.

        Raises:
            MeasureError: it has ended, or the kernel does not do that.
        """
        try:
            Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        except OSError as error:
            raise MeasureError(f"cannot watch the peak of memory: {error}") from error

    def _status_kib(self, name: str) -> int:
        # One that has ended, but was not waited for, has a status without memory.
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
        raise MeasureError("the server has ended")


def filled_in(command: str, port: int, threads: int) -> list[str]:
    """
    Return the words of a server's command.

    It is split as a shell would; ``{port}``, ``{threads}`` and ``{python}``, this
    interpreter, are replaced. A command without ``{threads}`` is one of Go, and told by
    its environment. *threads* 0 leaves the number to a peer, and is 1 for ours.
    """
    values = {"port": port, "threads": threads or 1, "python": sys.executable}
    words = shlex.split(command)
    if threads and "{threads}" not in command:
        words = ["env", f"GOMAXPROCS={threads}", *words]
    for name, value in values.items():
        words = [word.replace(f"{{{name}}}", str(value)) for word in words]
    return words


@contextmanager
def serving(command: str, cpu: int | None, threads: int = 0) -> Iterator[Server]:
    """
    Run a server for the length of the block, on *cpu* or anywhere.

    For *command* and *threads* see `filled_in`.

    Raises:
        MeasureError: it cannot be started, or sends no INFO within 10 seconds.
    """
    port = free_port()
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                filled_in(command, port, threads),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=placed_on(cpu),
            )
        except OSError as error:
            raise MeasureError(f"cannot start {command!r}: {error}") from error
        try:
            version = _await_version(process, port)
            if version is None:
                log.seek(0)
                text = log.read().decode(errors="replace")[-2000:]
                raise MeasureError(f"{command!r} does not serve:\n{text}")
            yield Server(port, process.pid, version)
        finally:
            _stop(process)


def connected(server: Server, address: str = HOST) -> socket.socket:
    """Connect from *address*, and read INFO."""
    link = socket.create_connection((HOST, server.port), 30.0, (address, 0))
    line = b""
    while not line.endswith(b"\r\n"):
        line += link.recv(4096)
    return link


def _await_version(process: subprocess.Popen[bytes], port: int) -> str | None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection((HOST, port), 1.0) as client:
                line = client.makefile("rb").readline()
            return str(json.loads(line.removeprefix(b"INFO "))["version"])
        except (OSError, ValueError, KeyError):
            time.sleep(0.02)
    return None


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run_load(server: Server, arguments: list[str], cpu: int | None) -> dict[str, Any]:
    """Run the generator once; return its line, with errors for what went wrong."""
    command = [str(LOAD), f"--port={server.port}", f"--server-pid={server.pid}"]
    try:
        done = subprocess.run(
            command + arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=LOAD_SECONDS,
            preexec_fn=placed_on(cpu),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"errors": [f"the generator took longer than {LOAD_SECONDS:.0f} s"]}
    return _parse_line(done.stdout, done.returncode)


@contextmanager
def idle_load(
    server: Server, count: int, cpu: int | None, topics: int = 1
) -> Iterator[list[str]]:
    """
    Hold *count* connections with *topics* subscriptions each, while in the block.

    Yields the errors, complete when the block has been left.
    """
    with subprocess.Popen(
        [str(LOAD), f"--port={server.port}", f"--idle={count}", f"--topics={topics}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=placed_on(cpu),
    ) as process:
        assert process.stdout
        errors: list[str] = _parse_line(process.stdout.readline(), 0)["errors"]
        yield errors
        process.communicate()
        if process.returncode and not errors:
            errors.append("a connection was lost while it was held")


def _parse_line(line: bytes, status: int) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        return {"errors": [f"the generator said nothing; status {status}"]}
    if status and not found["errors"]:
        found["errors"] = [f"the generator ended with status {status}"]
    return found
