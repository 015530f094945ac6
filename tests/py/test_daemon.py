"""The daemon: its life, its log lines, its files, its exit status."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from daemons import daemon, run, texts

from pynatsd import __version__


@pytest.mark.parametrize(
    ("number", "word"),
    [(signal.SIGINT, "interrupt"), (signal.SIGTERM, "terminated")],
)
def test_life_with_debug(number: int, word: str) -> None:
    with daemon("-D", "-T=false") as process:
        lines = process.end(number)
        assert process.wait() == 0
    pid = process.pid
    assert all(line.startswith(f"[{pid}] [") for line in lines)
    found = texts(lines)
    port = found[2].rsplit(":", 1)[1].strip()
    server_id = found[3].split()[-1]
    assert int(port) > 0
    assert re.fullmatch("[0-9A-Za-z]{22}", server_id)
    assert found == [
        f"[INF] Starting pynatsd version {__version__}\n",
        f"[DBG] Python version {sys.version.split()[0]}\n",
        f"[INF] Listening for client connections on 127.0.0.1:{port}\n",
        f"[DBG] Server id is {server_id}\n",
        "[INF] Server is ready\n",
        f"[DBG] Trapped Signal; {word}\n",
        "[INF] Server Exiting..\n",
    ]


def test_life_without_debug() -> None:
    with daemon() as process:
        lines = process.end()
        assert process.wait() == 0
    stamp = r"\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} \[INF\] .*\n"
    assert all(re.fullmatch(stamp, line) for line in lines)
    assert [t.split(" on ")[0].strip() for t in texts(lines)] == [
        f"[INF] Starting pynatsd version {__version__}",
        "[INF] Listening for client connections",
        "[INF] Server is ready",
        "[INF] Server Exiting..",
    ]


def test_idle_server_ends_quickly() -> None:
    with daemon() as process:
        began = time.monotonic()
        process.send(signal.SIGTERM)
        assert process.wait() == 0
        assert time.monotonic() - began < 1  # ten times the promise


def test_signals_during_shutdown_are_harmless() -> None:
    with daemon() as process:
        deadline = time.monotonic() + 10
        while process.process.poll() is None and time.monotonic() < deadline:
            process.send(signal.SIGTERM)
            process.send(signal.SIGINT)
        assert process.wait() == 0


def test_pid_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    path.write_text("12345678")
    with daemon("-P", str(path)) as process:
        assert path.read_text() == str(process.pid)
        assert stat.S_IMODE(path.stat().st_mode) & ~0o640 == 0
        process.end()
        assert process.wait() == 0
    assert list(tmp_path.iterdir()) == []


def test_pid_file_of_another_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    with daemon("-P", str(path)) as process:
        path.write_text("12345678")
        process.end()
    assert path.read_text() == "12345678"


def test_pid_file_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "nope" / "x.pid"
    done = run("-p", "-1", "-T=false", "-P", str(path))
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert texts(lines) == [
        f"[INF] Starting pynatsd version {__version__}",
        f"Could not write pidfile: open {path}: no such file or directory",
    ]


def test_pid_file_through_a_link_or_on_a_directory(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for path in (tmp_path / "link", tmp_path):
        done = run("-p", "-1", "-P", str(path))
        assert done.returncode == 1
        expected = f"Could not write pidfile: open {path}: not an ordinary file"
        assert done.stderr.splitlines()[-1] == expected
    assert [p.name for p in tmp_path.iterdir()] == ["link"]


def test_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        port = address.split(":")[1]
        pid = tmp_path / "pid"
        done = run("-a", "127.0.0.1", "-p", port, "-T=false", "-P", str(pid))
    assert done.returncode == 1
    assert not pid.exists()
    assert texts(done.stderr.splitlines()) == [
        f"[INF] Starting pynatsd version {__version__}",
        f'[FTL] Error listening on port: {address}, "listen tcp {address}: '
        'bind: address already in use"',
    ]


def test_who_logs_elsewhere_fails_on_standard_error_too(tmp_path: Path) -> None:
    path = tmp_path / "log"
    text = (
        "Error listening on port: no.such.host.invalid:1, "
        '"listen tcp: lookup no.such.host.invalid: no such host"'
    )
    done = run("-a", "no.such.host.invalid", "-p", "1", "-T=false", "-l", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{text}\n")
    assert path.read_text().endswith(f"[FTL] {text}\n")


def test_host_that_does_not_exist() -> None:
    done = run("-a", "no.such.host.invalid", "-p", "1", "-T=false")
    assert done.returncode == 1
    assert texts(done.stderr.splitlines())[-1] == (
        "[FTL] Error listening on port: no.such.host.invalid:1, "
        '"listen tcp: lookup no.such.host.invalid: no such host"'
    )


def test_log_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("kept\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "pynatsd", "-p", "-1", "-T=false", "-l", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    while "Server is ready" not in path.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.terminate()
    assert process.communicate(timeout=10) == ("", "")
    assert process.wait() == 0
    lines = path.read_text().splitlines()
    assert lines[0] == "kept"
    assert lines[-1] == f"[{process.pid}] [INF] Server Exiting.."


def test_log_to_standard_output() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pynatsd", "-p", "-1", "-T=false", "-l", "/dev/stdout"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "Server is ready" in line:
            break
    process.terminate()
    assert process.communicate(timeout=10)[0].endswith("[INF] Server Exiting..\n")


def test_log_file_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "nope" / "log"
    done = run("-p", "-1", "-l", str(path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(
        r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d error opening file: "
        rf"open {re.escape(str(path))}: no such file or directory\n",
        done.stderr,
    )


def test_closed_standard_descriptors(tmp_path: Path) -> None:
    """A socket that got number 2 would receive the log."""
    path = tmp_path / "log"
    path.touch()
    words = f"-a 127.0.0.1 -p -1 -l {path}"
    process = subprocess.Popen(
        ["sh", "-c", f"exec {sys.executable} -m pynatsd {words} <&- >&- 2>&-"]
    )
    deadline = time.monotonic() + 20
    while "Server is ready" not in path.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    folder = Path(f"/proc/{process.pid}/fd")
    if folder.exists():
        assert {os.readlink(folder / n) for n in "012"} == {"/dev/null"}
    process.terminate()
    assert process.wait(10) == 0


def test_file_limit_is_raised() -> None:
    code = "import resource as r, os, sys; h = r.getrlimit(r.RLIMIT_NOFILE)[1];"
    code += "r.setrlimit(r.RLIMIT_NOFILE, (min(h, 256), h));"
    code += "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    command = [sys.executable, "-c", code, "-m", "pynatsd", "-p", "-1", "-D"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "Server is ready" in line:
            break
    limits = Path(f"/proc/{process.pid}/limits")
    if limits.exists():
        row = next(x for x in limits.read_text().splitlines() if "open files" in x)
        soft, hard = row.split()[3:5]
        assert soft == hard
    process.terminate()
    process.communicate(timeout=10)
    assert process.wait() == 0
