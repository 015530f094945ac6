"""Logins on real sockets: who gets in, with which words others are sent away."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from target import Target
from wire import (
    OK,
    PARSER,
    PING,
    PONG,
    QUIET,
    SLOW,
    Peer,
    connect_line,
    pub,
    wait_until,
)

from pynatsd import NEXT, Allow, Deny, Login, Permissions, Rules, User

CONFIGS = Path(__file__).parents[2] / "configs"
VIOLATION = b"-ERR 'Authorization Violation'\r\n"
TIMEOUT = b"-ERR 'Authorization Timeout'\r\n"
PUBLISH = b"-ERR 'Permissions Violation for Publish to \"%b\"'\r\n"

Serve = Callable[..., Target]


def hashed(password: bytes, prefix: bytes = b"2b") -> str:
    made = bcrypt.hashpw(password[:72], bcrypt.gensalt(4)).decode()
    return made.replace("$2b$", f"${prefix.decode()}$")


def try_out(target: Target, **said: Any) -> bytes:
    """PONG, or all that comes until the end."""
    peer = target.peer()
    peer.send(connect_line(QUIET | said) + PING)
    line = peer.line()
    if line != PONG:
        peer.expect_closed()
    return line


PLAIN = {"user": "u", "password": "p"}
TOKEN = {"token": "t"}
HASHED = {"user": "u", "password": hashed(b"p" * 80)}
USERS = {
    "users": (
        User("a", "pa"),
        User("b", hashed(b"pb", b"2y")),
        User("limited", "l", Permissions(publish=Rules(allow=("ok",)))),
    ),
    "default_permissions": Permissions(publish=Rules(deny=("never",))),
}
GUESTS = USERS | {"no_auth_user": "limited"}


@pytest.mark.parametrize(
    ("options", "said", "answer"),
    [
        ({}, {}, PONG),
        ({}, {"user": "x", "pass": "y"}, PONG),
        (PLAIN, {"user": "u", "pass": "p"}, PONG),
        (PLAIN, {"user": "u", "pass": "P"}, VIOLATION),
        (PLAIN, {"user": "U", "pass": "p"}, VIOLATION),
        (PLAIN, {"user": "u", "pass": "pp"}, VIOLATION),
        (PLAIN, {"user": "u"}, VIOLATION),
        (PLAIN, {"pass": "p"}, VIOLATION),
        (PLAIN, {"auth_token": "p"}, VIOLATION),
        (PLAIN, {}, VIOLATION),
        ({"user": "u"}, {"user": "u"}, PONG),
        ({"user": "u"}, {"user": "u", "pass": "p"}, VIOLATION),
        (TOKEN, {"auth_token": "t"}, PONG),
        (TOKEN, {"auth_token": "T"}, VIOLATION),
        (TOKEN, {"user": "t", "pass": "t"}, VIOLATION),
        ({"token": hashed(b"t", b"2a")}, {"auth_token": "t"}, PONG),
        ({"token": hashed(b"t", b"2a")}, {"auth_token": "x"}, VIOLATION),
        # Beyond 72 bytes nothing counts, as with the peers.
        (HASHED, {"user": "u", "pass": "p" * 72}, PONG),
        (HASHED, {"user": "u", "pass": "p" * 73}, PONG),
        (HASHED, {"user": "u", "pass": "p" * 900}, PONG),
        (HASHED, {"user": "u", "pass": "p" * 71}, VIOLATION),
        (HASHED, {"user": "u", "pass": HASHED["password"]}, VIOLATION),
        (HASHED, {"user": "u", "pass": "p\0" * 40}, VIOLATION),
        (HASHED, {"user": "u", "pass": "\ud800"}, VIOLATION),
        (HASHED, {"user": "nobody", "pass": "p"}, VIOLATION),
        (USERS, {"user": "a", "pass": "pa"}, PONG),
        (USERS, {"user": "b", "pass": "pb"}, PONG),
        (USERS, {"user": "b", "pass": "pa"}, VIOLATION),
        (USERS, {}, VIOLATION),
        (GUESTS, {}, PONG),
        (GUESTS, {"user": "a", "pass": "wrong"}, VIOLATION),
    ],
)
def test_who_gets_in(
    serve: Serve, options: dict[str, Any], said: dict[str, Any], answer: bytes
) -> None:
    target = serve(threads=1, **options)
    assert try_out(target, **said) == answer
    peer = target.peer()
    assert peer.info["auth_required"] == bool(options and options is not GUESTS)


def test_nothing_but_connect_is_heard_before(serve: Serve) -> None:
    target = serve(**PLAIN)
    for first in (PING, b"PUB a 1\r\nx\r\n", b"SUB a 1\r\n", b"INFO {}\r\n", b"\r\n"):
        peer = target.peer()
        peer.send(first)
        peer.expect(VIOLATION)
        peer.expect_closed()
    peer = target.peer()
    peer.send(b"CONNECT {\r\n")
    peer.expect(PARSER)
    peer.expect_closed()


def test_the_deadline_is_not_moved_by_bytes(serve: Serve) -> None:
    target = serve(auth_timeout=0.3, **PLAIN)
    silent, slow = target.peer(), target.peer()
    begun = time.monotonic()
    slow.send(b"CONNECT ")
    for peer in (silent, slow):
        peer.expect(TIMEOUT)
        peer.expect_closed()
    assert 0.25 < time.monotonic() - begun < 3 * SLOW


def test_a_check_takes_longer_than_the_deadline(serve: Serve) -> None:
    target = serve(user="u", password=hashed(b"p"), auth_timeout=0.02, threads=1)
    peer = target.peer()
    peer.send(connect_line(QUIET | {"user": "u", "pass": "p"}) + PING)
    peer.expect(PONG)


def test_a_second_connect(serve: Serve) -> None:
    """It never gives more, and ends the connection if it is wrong."""
    target = serve(**USERS)
    peer = target.client(QUIET | {"user": "limited", "pass": "l"})
    peer.send(connect_line({"verbose": True}) + pub(b"no", b""))
    peer.expect(OK + PUBLISH % b"no")
    peer.send(connect_line({"user": "a", "pass": "pa"}) + pub(b"no", b"") + PING)
    peer.expect(OK + OK + PONG)
    peer.send(pub(b"never", b"") + connect_line({"user": "limited", "pass": "x"}))
    peer.expect(PUBLISH % b"never" + VIOLATION)
    peer.expect_closed()


def test_no_auth_user_without_connect(serve: Serve) -> None:
    target = serve(**GUESTS)
    peer = target.peer()
    peer.send(pub(b"ok", b"") + pub(b"no", b"") + PING)
    peer.expect(OK + PUBLISH % b"no" + PONG)


# ---- a program that decides ----


def decide(login: Login) -> Any:
    if login.token == "nonsense":
        return 17
    if login.token == "here" and login.address == "127.0.0.1" and login.port > 0:
        rules = Permissions(publish=Rules(allow=("ok",)))
        return Allow("guest", rules)
    return Deny("not today") if login.token else NEXT


def test_an_authenticator(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    target = serve(authenticator=decide, users=(User("a", "pa"),))
    guest = target.client(QUIET | {"auth_token": "here"})
    guest.send(pub(b"ok", b"") + pub(b"no", b"") + PING)
    guest.expect(PUBLISH % b"no" + PONG)
    assert try_out(target, user="a", **{"pass": "pa"}) == PONG
    assert try_out(target, user="a", **{"pass": "x"}) == VIOLATION
    assert try_out(target) == VIOLATION
    for token in ("other", "nonsense"):
        assert try_out(target, auth_token=token) == VIOLATION
    wait_until(lambda: "Authorization Error: not today" in caplog.text, "the reason")


def test_an_authenticator_that_hangs(serve: Serve) -> None:
    release = bytearray()

    def wait(login: Login) -> None:
        while not release:
            time.sleep(0.01)

    target = serve(authenticator=wait, authenticator_timeout=0.1)
    try:
        assert try_out(target, auth_token="x") == TIMEOUT
    finally:
        release.append(1)


def test_reload_of_an_embedded_server(serve: Serve) -> None:
    target = serve(**USERS)
    a = target.client(QUIET | {"user": "a", "pass": "pa"})
    b = target.client(QUIET | {"user": "b", "pass": "pb"})
    lines = target.handle.reload(users=(User("a", "pa"),), max_payload=7)
    assert lines == [
        "Reloaded: max_payload = 7",
        "Reloaded: users: removed b limited",
    ]
    b.expect(VIOLATION)
    b.expect_closed()
    a.send(PING)
    a.expect(PONG)
    assert target.peer().info["max_payload"] == 7


# ---- the original's README ----


def start_sample(spawn: Callable[..., Target], tmp_path: Path, name: str) -> Target:
    """The sample as it is, but for the places where it listens and writes."""
    places = ["-m", "0", "-P", str(tmp_path / "pid"), "-l", "", "-T"]
    return spawn("-c", str(CONFIGS / name), *places)


@pytest.mark.parametrize(
    ("name", "password"),
    [("sample.conf", "T0pS3cr3t"), ("bcrypt.conf", "#IclkRPHUpsTmACWzmIGXr")],
)
def test_bcrypt_of_the_samples(
    spawn: Callable[..., Target], tmp_path: Path, name: str, password: str
) -> None:
    target = start_sample(spawn, tmp_path, name)
    peer: Peer = target.peer()
    peer.send(connect_line(QUIET | {"user": "derek", "pass": password}) + PING)
    peer.expect(PONG, 20 * SLOW)
    wrong = target.peer()
    wrong.send(connect_line(QUIET | {"user": "derek", "pass": f"{password}x"}))
    wrong.expect(VIOLATION, 20 * SLOW)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.conf")), ids=lambda p: p.name)
def test_samples_start_without_an_edit(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pynatsd", "-t", "-c", str(path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYNATSD_PASSWORD": "x"},
        timeout=30 * SLOW,
    )
    if path.name.startswith("tls") and "cluster" not in path.name:
        assert (done.returncode, done.stderr) == (1, "TLS is not built yet\n")
    else:
        assert done.stdout == f"configuration file {path} is valid\n", done.stderr
        assert done.returncode == 0
