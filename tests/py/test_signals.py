"""The signals that steer the daemon: reload, another log file, lame duck."""

import json
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemons import SECONDS, Daemon, daemon, texts

VIOLATION = b"-ERR 'Authorization Violation'\r\n"

USERS = """
authorization {
  users = [
    { user: stays, password: s }
    { user: goes, password: g }
    { user: bound, password: b, permissions: { publish: "a.>", subscribe: [">"] } }
  ]
}
"""


class Client:
    """A connection that has read INFO."""

    def __init__(self, daemon: Daemon) -> None:
        self.socket = socket.create_connection(daemon.address, timeout=SECONDS)
        self.lines = self.socket.makefile("rb")
        self.info: dict[str, Any] = json.loads(self.lines.readline()[5:])

    def log_in(self, user: str = "", password: str = "", **more: Any) -> None:
        said = {"verbose": False, "pedantic": False, **more}
        if user:
            said |= {"user": user, "pass": password}
        self.socket.sendall(b"CONNECT " + json.dumps(said).encode() + b"\r\n")
        assert self.ask() == b"PONG\r\n"

    def ask(self, text: bytes = b"") -> bytes:
        """Send *text* and a PING; the first line of the answer."""
        self.socket.sendall(text + b"PING\r\n")
        return self.lines.readline()

    def rest(self) -> bytes:
        """All that comes until the end."""
        return self.lines.read()

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


@pytest.fixture
def clients() -> Iterator[Any]:
    made: list[Client] = []

    def make(daemon: Daemon, *credentials: str, **options: Any) -> Client:
        client = Client(daemon)
        made.append(client)
        client.log_in(*credentials, **options)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "server.conf"
    path.touch(0o600)
    return path


def reload(daemon: Daemon, config: Path, text: str) -> list[str]:
    """Put *text* in its place, and have it read; what the log says about that."""
    before = len(daemon.lines)
    config.write_text(text)
    daemon.send(signal.SIGHUP)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        new = texts(daemon.lines[before:])
        if any("server configuration" in line for line in new):
            return [line.rstrip("\n") for line in new if " - cid:" not in line]
        time.sleep(0.01)
    raise AssertionError(f"no reload: {daemon.lines}")


# ---- reload ----


def test_limits_change_and_clients_are_told(config: Path, clients: Any) -> None:
    config.write_text("max_payload: 1000\n")
    with daemon("-c", str(config)) as process:
        told = clients(process, protocol=1)
        untold = clients(process)
        assert told.info["max_payload"] == 1000
        text = "max_payload: 10\nmax_subscriptions: 1\nping_interval: 60\n"
        assert reload(process, config, text) == [
            "[INF] Reloaded: max_subscriptions = 1",
            "[INF] Reloaded: max_payload = 10",
            "[INF] Reloaded: ping_interval = 60",
            "[INF] Reloaded server configuration",
        ]
        assert json.loads(told.lines.readline()[5:])["max_payload"] == 10
        assert told.ask() == b"PONG\r\n"
        assert untold.ask(b"SUB a 1\r\n") == b"PONG\r\n"
        refused = b"-ERR 'maximum subscriptions exceeded'\r\n"
        assert untold.ask(b"SUB a 2\r\n") == refused
        assert untold.lines.readline() == b"PONG\r\n"
        assert untold.ask(b"PUB a 11\r\n") == b"-ERR 'Maximum Payload Violation'\r\n"
        process.end()
        assert process.wait() == 0


def test_users_change(config: Path, clients: Any) -> None:
    config.write_text(USERS)
    with daemon("-c", str(config)) as process:
        stays, goes, bound = (
            clients(process, user, user[0]) for user in ("stays", "goes", "bound")
        )
        assert bound.ask(b"SUB a.b 1\r\nSUB c 2\r\nPUB a.b 0\r\n\r\n") == (
            b"MSG a.b 1 0\r\n"
        )
        assert bound.lines.readline() == b"\r\n"
        assert bound.lines.readline() == b"PONG\r\n"
        text = USERS.replace("user: goes, password: g", "user: new, password: n")
        text = text.replace('publish: "a.>", subscribe: [">"]', 'subscribe: ["a.>"]')
        assert reload(process, config, text) == [
            "[INF] Reloaded: users: added new, removed goes, changed bound",
            "[INF] Reloaded server configuration",
        ]
        assert goes.rest() == VIOLATION
        gone = b"-ERR 'Permissions Violation for Subscription to \"c\"'\r\n"
        assert bound.ask(b"PUB c 0\r\n\r\nPUB a.b 0\r\n\r\n") == gone
        assert bound.lines.readline() == b"MSG a.b 1 0\r\n"
        assert bound.lines.readline() == b"\r\n"
        assert bound.lines.readline() == b"PONG\r\n"
        assert stays.ask() == b"PONG\r\n"
        clients(process, "new", "n")
        with pytest.raises(AssertionError):
            clients(process, "goes", "g")


def test_another_password_ends_what_the_old_one_opened(
    config: Path, clients: Any
) -> None:
    config.write_text("authorization { user: a, password: one }\n")
    with daemon("-c", str(config)) as process:
        client = clients(process, "a", "one")
        lines = reload(process, config, "authorization { user: a, password: two }\n")
        assert lines[0] == "[INF] Reloaded: password"
        assert client.rest() == VIOLATION
        clients(process, "a", "two")


def test_authorization_comes_and_goes(config: Path, clients: Any) -> None:
    with daemon("-c", str(config)) as process:
        anonymous, silent = clients(process), Client(process)
        reload(process, config, "authorization { token: t0k }\n")
        assert anonymous.rest() == VIOLATION
        assert silent.rest() == b"-ERR 'Authorization Timeout'\r\n"
        silent.close()
        known = clients(process, auth_token="t0k")
        assert known.info["auth_required"] is True
        reload(process, config, "")
        assert known.rest() == VIOLATION
        assert clients(process).info["auth_required"] is False


def test_no_auth_user_may_change(config: Path, clients: Any) -> None:
    config.write_text(USERS + "no_auth_user: stays\n")
    with daemon("-c", str(config)) as process:
        guest = clients(process)
        assert guest.info["auth_required"] is False
        stays = clients(process, "stays", "s")
        reload(process, config, USERS + "no_auth_user: bound\n")
        assert stays.ask() == b"PONG\r\n"
        refused = b"-ERR 'Permissions Violation for Publish to \"c\"'\r\n"
        assert clients(process).ask(b"PUB c 0\r\n\r\n") == refused


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http_port: 1\nmax_payload: 5\n", "http_port: changing it needs a restart"),
        ("cluster { port: 1 }\n", "cluster: changing it needs a restart"),
        ("server_name: x\n", "server_name: changing it needs a restart"),
        ("max_payload: x\n", "{}:1:14: max_payload: must be a whole number, not text"),
        (
            "max_payload = {\n",
            "{}:2:1: Unexpected EOF. The '{{' of line 1, column 15 is not closed.",
        ),
        (
            "authorization { user: a, password: b }\nauthorization { passw0rd: b }\n",
            None,
        ),
        ("log_file: /nope/x\nmax_payload: 5\n", None),
    ],
)
def test_all_or_nothing(config: Path, clients: Any, text: str, why: str | None) -> None:
    config.write_text("max_payload: 1000\n")
    with daemon("-c", str(config), "--threads", "1") as process:
        client = clients(process, protocol=1)
        (line,) = reload(process, config, text)
        head = "[ERR] Failed to reload server configuration: "
        assert line.startswith(head)
        if why is not None:
            assert line.removeprefix(head) == why.format(config)
        assert client.ask() == b"PONG\r\n"
        assert clients(process).info["max_payload"] == 1000
        assert reload(process, config, "max_payload: 2000\n")[-1] == (
            "[INF] Reloaded server configuration"
        )


def test_a_refusal_of_the_server_leaves_the_log_where_it_was(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "waits.py").write_text("async def decide(login): pass\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with daemon("-c", str(config)) as process:
        text = f"log_file: {tmp_path / 'log'}\nauthenticator: 'waits:decide'\n"
        assert reload(process, config, text) == [
            "[ERR] Failed to reload server configuration: "
            "authenticator: must not be async"
        ]
        process.send(signal.SIGUSR1)
        process.wait_for("File log re-open ignored, not a file logger")


def test_flags_still_win_after_a_reload(config: Path, clients: Any) -> None:
    with daemon("-c", str(config), "-D", "--user", "a", "--pass", "b") as process:
        reload(process, config, "debug: false\nauthorization { user: x }\n")
        assert clients(process, "a", "b").ask() == b"PONG\r\n"
        process.wait_for("Client connection created")


def test_nothing_to_reload() -> None:
    with daemon() as process:
        process.send(signal.SIGHUP)
        line = process.wait_for("Failed to reload")
        assert texts([line]) == [
            "[ERR] Failed to reload server configuration: "
            "there is no configuration file\n"
        ]
        process.end()
        assert process.wait() == 0


def test_the_log_changes(config: Path, tmp_path: Path, clients: Any) -> None:
    log = tmp_path / "log"
    with daemon("-c", str(config)) as process:
        config.write_text(f"log_file: {log}\nlogtime: false\ndebug: true\n")
        process.send(signal.SIGHUP)
        wait_until(lambda: log.exists() and "Reloaded server" in log.read_text())
        # Reactors take it over with their next turn, which is a little later.
        wait_until(
            lambda: clients(process) and "Client connection created" in log.read_text()
        )
        seen = texts(process.end())
    assert f"[{process.pid}] [INF] Server Exiting..\n" in log.read_text()
    assert seen[-1] == "[INF] Server is ready\n"


# ---- another log file ----


def wait_until(holds: Any) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def test_the_log_file_is_opened_again(tmp_path: Path) -> None:
    log, old = tmp_path / "log", tmp_path / "log.1"
    process = Daemon(("-l", str(log), "-T=false"))
    try:
        wait_until(lambda: log.exists() and "Server is ready" in log.read_text())
        log.rename(old)
        process.send(signal.SIGUSR1)
        wait_until(lambda: log.exists() and log.read_text())
        assert log.read_text() == f"[{process.pid}] [INF] File log re-opened\n"
        assert stat.S_IMODE(log.stat().st_mode) & ~0o640 == 0
        process.end()
        assert process.wait() == 0
    finally:
        process.close()
    assert old.read_text().endswith("Server is ready\n")
    assert log.read_text().endswith("Server Exiting..\n")


def test_no_log_file_to_open_again() -> None:
    with daemon() as process:
        process.send(signal.SIGUSR1)
        process.wait_for("File log re-open ignored, not a file logger")


# ---- lame duck ----


def test_lame_duck(config: Path, clients: Any) -> None:
    config.write_text("lame_duck_grace_period: 0.2\nlame_duck_duration: 0.5\n")
    with daemon("-c", str(config)) as process:
        told = clients(process, protocol=1)
        untold = clients(process)
        process.send(signal.SIGUSR2)
        line = told.lines.readline()
        assert line.startswith(b"INFO {")
        assert json.loads(line[5:])["ldm"] is True
        process.send(signal.SIGUSR2)
        process.wait_for("Entering lame duck mode")
        with pytest.raises(ConnectionRefusedError):
            wait_until(lambda: socket.create_connection(process.address).close())
        assert told.rest() == b""
        assert untold.rest() == b""
        assert process.wait() == 0
        assert texts(process.lines)[-3:] == [
            "[INF] Entering lame duck mode, stop accepting new clients\n",
            "[INF] Closing existing clients\n",
            "[INF] Server Exiting..\n",
        ]


def test_a_lame_duck_without_clients_ends_at_once() -> None:
    with daemon() as process:
        process.send(signal.SIGUSR2)
        assert process.wait() == 0


def test_a_lame_duck_can_be_ended(clients: Any) -> None:
    with daemon() as process:
        client = clients(process)
        process.send(signal.SIGUSR2)
        process.wait_for("Entering lame duck mode")
        process.send(signal.SIGTERM)
        assert process.wait() == 0
        assert client.rest() == b""


# ---- from another process ----


def test_signal_flag(config: Path, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with daemon("-c", str(config), "-P", str(pid)) as process:
        sender = Daemon(("--signal", f"reload={pid}"))
        assert sender.wait() == 0
        sender.close()
        process.wait_for("Reloaded server configuration")


def test_a_storm_of_signals(config: Path, clients: Any) -> None:
    with daemon("-c", str(config)) as process:
        client = clients(process)
        for _ in range(2000):
            for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH):
                os.kill(process.pid, number)
        assert client.ask() == b"PONG\r\n"
        process.end()
        assert process.wait() == 0
