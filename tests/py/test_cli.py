"""The command line: exact output, exact status, and signals."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pynatsd import __version__, cli
from pynatsd.options import Options

USAGE = """
Usage: pynatsd [options]

Server Options:
    -a, --addr <host>                Host to listen on (default: all)
    -p, --port <port>                Port for clients (default: 4222)
    -n, --server_name <name>         Name of this server
    -P, --pid <file>                 File to keep the process id in
        --threads <n>                Serving threads (default: CPUs)

Logging Options:
    -l, --log <file>                 File to append the log to
    -T, --logtime                    Time in the log (default: true)
    -D, --debug                      Log what helps to find an error
    -V, --trace                      Log the protocol of every client
    -DV                              Log both

Common Options:
    -h, --help                       Show this text
    -v, --version                    Show the version
"""
VERSION = f"pynatsd version {__version__}\n"


def changed(line: str) -> dict[str, Any]:
    """The options that a command line sets, against the defaults."""
    options, plain = cli.parse(line.split()), Options()
    return {
        name: getattr(options, name)
        for name in Options.__slots__
        if getattr(options, name) != getattr(plain, name)
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {}),
        ("-p 4333", {"port": 4333}),
        ("--p 4333", {"port": 4333}),
        ("-p=4333", {"port": 4333}),
        ("-port 4333", {"port": 4333}),
        ("--port=4333", {"port": 4333}),
        ("-p -1", {"port": -1}),
        ("-p 0", {}),
        ("-p 0x7d00", {"port": 32000}),
        ("-p 070000", {"port": 28672}),
        ("-p 0o70000", {"port": 28672}),
        ("-p 0b101", {"port": 5}),
        ("-p +5", {"port": 5}),
        ("-p 1 -p 2", {"port": 2}),
        ("-a 127.0.0.1", {"host": "127.0.0.1"}),
        ("--addr ::1", {"host": "::1"}),
        ("-net localhost", {"host": "localhost"}),
        ("-a=", {}),
        ("-P x.pid", {"pid_file": "x.pid"}),
        ("--pid=x=y", {"pid_file": "x=y"}),
        ("-l x.log", {"log_file": "x.log"}),
        ("--log x.log", {"log_file": "x.log"}),
        ("-l -p", {"log_file": "-p"}),
        ("-T", {}),
        ("-T=false", {"logtime": False}),
        ("--logtime=0", {"logtime": False}),
        ("-T=false -T", {}),
        ("-D", {"debug": True}),
        ("--debug=t", {"debug": True}),
        ("-D=false", {}),
        ("-V", {"trace": True}),
        ("--trace=TRUE", {"trace": True}),
        ("-DV", {"debug": True, "trace": True}),
        ("-DV -V=F", {"debug": True}),
        ("-DV=True", {"debug": True, "trace": True}),
        ("-n hub", {"server_name": "hub"}),
        ("--server_name=hub", {"server_name": "hub"}),
        ("--threads 3", {"threads": 3}),
        ("-threads=0x3", {"threads": 3}),
        ("-v=false", {}),
        ("-h=false", {}),
        ("--", {}),
        ("-D --", {"debug": True}),
        # Flags of the parts that are not there, switched off.
        ("-m 0 -s=false -c= --tls=0", {}),
    ],
)
def test_flags(line: str, expected: dict[str, Any]) -> None:
    assert changed(line) == expected


@pytest.mark.parametrize(
    ("line", "status", "out", "err"),
    [
        # What prints and ends well.
        ("-v", 0, VERSION, ""),
        ("--version", 0, VERSION, ""),
        ("version", 0, VERSION, ""),
        ("VERSION", 0, VERSION, ""),
        ("-D Version", 0, VERSION, ""),
        ("-v foo", 0, VERSION, ""),
        ("-h", 0, USAGE, ""),
        ("--help", 0, USAGE, ""),
        ("help", 0, USAGE, ""),
        ("Help", 0, USAGE, ""),
        ("-v -h", 0, USAGE, ""),
        ("-h --nosuch", 0, USAGE, ""),
        ("-v -c x", 0, VERSION, ""),
        # Words.
        ("foo", 1, "", 'unrecognized command: "foo"\n'),
        ("foo -p 31999", 1, "", 'unrecognized command: "foo"\n'),
        ("-T false", 1, "", 'unrecognized command: "false"\n'),
        ("-D -", 1, "", 'unrecognized command: "-"\n'),
        ("-- -p", 1, "", 'unrecognized command: "-p"\n'),
        # Misuse.
        ("-x", 2, USAGE, "flag provided but not defined: -x\n"),
        ("--nosuch=1", 2, USAGE, "flag provided but not defined: -nosuch\n"),
        ("--nosuch -h", 2, USAGE, "flag provided but not defined: -nosuch\n"),
        ("-pid4", 2, USAGE, "flag provided but not defined: -pid4\n"),
        ("-port", 2, USAGE, "flag needs an argument: -port\n"),
        ("-D -l", 2, USAGE, "flag needs an argument: -l\n"),
        ("-p abc", 2, USAGE, 'invalid value "abc" for flag -p: parse error\n'),
        ("-p 1_0", 2, USAGE, 'invalid value "1_0" for flag -p: parse error\n'),
        ("-p 089", 2, USAGE, 'invalid value "089" for flag -p: parse error\n'),
        ("-p=", 2, USAGE, 'invalid value "" for flag -p: parse error\n'),
        ("--port 1.5", 2, USAGE, 'invalid value "1.5" for flag -port: parse error\n'),
        ("-p \u0661", 2, USAGE, 'invalid value "\u0661" for flag -p: parse error\n'),
        (
            "-p 9223372036854775808",
            *(2, USAGE),
            'invalid value "9223372036854775808" for flag -p: value out of range\n',
        ),
        (
            "-p " + "9" * 5000,
            *(2, USAGE),
            f'invalid value "{"9" * 5000}" for flag -p: value out of range\n',
        ),
        (
            "-DV=maybe",
            *(2, USAGE),
            'invalid boolean value "maybe" for -DV: parse error\n',
        ),
        ("---p", 2, USAGE, "bad flag syntax: ---p\n"),
        ("-=3", 2, USAGE, "bad flag syntax: -=3\n"),
        ("--=3", 2, USAGE, "bad flag syntax: --=3\n"),
        # Out of range for us.
        ("-p 65536", 1, "", "port: must be from -1 to 65535, not 65536\n"),
        ("-p -2", 1, "", "port: must be from -1 to 65535, not -2\n"),
        ("--threads 65", 1, "", "threads: must be from 1 to 64, not 65\n"),
        ("--threads 0", 1, "", "threads: must be from 1 to 64, not 0\n"),
    ],
)
def test_other_ends(line: str, status: int, out: str, err: str) -> None:
    with pytest.raises(cli.Exit) as caught:
        cli.parse(line.split())
    assert (caught.value.status, caught.value.out, caught.value.err) == (
        *(status, out, err),
    )


@pytest.mark.parametrize(
    ("line", "name", "part"),
    [
        ("-m 8222", "m", "monitoring"),
        ("--http_port 8222", "http_port", "monitoring"),
        ("-ms 8222", "ms", "monitoring"),
        ("--https_port 8222", "https_port", "monitoring"),
        ("-c x.conf", "c", "configuration file"),
        ("--config=x.conf", "config", "configuration file"),
        ("-s", "s", "syslog"),
        ("--syslog", "syslog", "syslog"),
        ("-r udp://x:1", "r", "syslog"),
        ("--remote_syslog udp://x:1", "remote_syslog", "syslog"),
        ("--user u", "user", "authorization"),
        ("--pass p", "pass", "authorization"),
        ("--auth t", "auth", "authorization"),
        ("--tls", "tls", "TLS"),
        ("--tlsverify", "tlsverify", "TLS"),
        ("--tlscert x", "tlscert", "TLS"),
        ("--tlskey x", "tlskey", "TLS"),
        ("--tlscacert x", "tlscacert", "TLS"),
        ("--help_tls", "help_tls", "TLS"),
        ("--routes nats-route://x:1", "routes", "clustering"),
        ("-routes://x:1", "routes", "clustering"),
        ("--cluster nats://x:1", "cluster", "clustering"),
        ("--cluster_listen nats://x:1", "cluster_listen", "clustering"),
        ("--profile 1", "profile", "profiling"),
    ],
)
def test_parts_that_are_not_there_yet(line: str, name: str, part: str) -> None:
    with pytest.raises(cli.Exit) as caught:
        cli.parse(["-p", "-1", *line.split()])
    assert caught.value.status == 1
    assert caught.value.out == ""
    assert caught.value.err == f"-{name}: this version of pynatsd has no {part} yet\n"


def test_usage_names_every_flag_that_works() -> None:
    for flag in cli._FLAGS.values():
        assert bool(flag.help) != bool(flag.part)


def test_descriptions_start_in_column_38() -> None:
    for line in USAGE.splitlines():
        if line.startswith("    "):
            assert line[36] == " "
            assert line[37].isupper()


# ---- the process ----


def run(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pynatsd", *words],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        **more,
    )


@contextmanager
def daemon(*words: str, ready: str = "Server is ready", **more: Any) -> Iterator[Any]:
    """The command on a free port, from its readiness line on."""
    command = [sys.executable, "-m", "pynatsd", "-a", "127.0.0.1", "-p", "-1", *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )
    lines: list[str] = []
    try:
        assert process.stderr is not None
        while not any(ready in line for line in lines):
            line = process.stderr.readline()
            assert line, f"ended early: {lines}"
            lines.append(line)
        process.seen = lines  # type: ignore[attr-defined]
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def end(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> list[str]:
    """Signal it and wait; all lines that it wrote."""
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert out == ""
    return [*process.seen, *err.splitlines(keepends=True)]  # type: ignore[attr-defined]


def texts(lines: list[str]) -> list[str]:
    """Without the process id and the time."""
    return [re.sub(r"^\[\d+\] (\S+ \S+ )?(?=\[[A-Z]{3}\])", "", line) for line in lines]


@pytest.mark.parametrize(
    ("words", "status", "out", "err"),
    [
        (["-v"], 0, VERSION, ""),
        (["-h"], 0, USAGE, ""),
        (["foo"], 1, "", 'unrecognized command: "foo"\n'),
        (["--nosuch"], 2, USAGE, "flag provided but not defined: -nosuch\n"),
        (["\udcff"], 1, "", 'unrecognized command: "\\udcff"\n'),
    ],
)
def test_process_that_only_prints(
    words: list[str], status: int, out: str, err: str
) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout, done.stderr) == (status, out, err)


def test_console_script_is_the_same_function() -> None:
    code = "import sys; from pynatsd.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "-v"], capture_output=True, text=True, check=True
    )
    assert done.stdout == VERSION


@pytest.mark.parametrize(
    ("number", "word"),
    [(signal.SIGINT, "interrupt"), (signal.SIGTERM, "terminated")],
)
def test_life_with_debug(number: int, word: str) -> None:
    with daemon("-D", "-T=false") as process:
        lines = end(process, number)
        assert process.returncode == 0
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
        lines = end(process)
        assert process.returncode == 0
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
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 1  # ten times the promise


def test_signals_during_shutdown_are_harmless() -> None:
    with daemon() as process:
        deadline = time.monotonic() + 10
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
        assert process.returncode == 0


def test_other_signals_do_nothing() -> None:
    with daemon("-T=false") as process:
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGHUP):
            process.send_signal(number)
        line = process.stderr.readline()
        assert texts([line]) == ["[INF] Ignored Signal; hangup\n"]
        assert texts(end(process)) == [
            *texts(process.seen),
            "[INF] Server Exiting..\n",
        ]
        assert process.returncode == 0


def test_pid_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    path.write_text("12345678")
    with daemon("-P", str(path)) as process:
        assert path.read_text() == str(process.pid)
        assert stat.S_IMODE(path.stat().st_mode) & ~0o640 == 0
        end(process)
        assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_pid_file_of_another_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    with daemon("-P", str(path)) as process:
        path.write_text("12345678")
        end(process)
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
    assert process.returncode == 0
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
    assert process.returncode == 0
