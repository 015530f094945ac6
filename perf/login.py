"""
What logins and reloads cost the others: ``python -m perf.login``.

Four scenarios, one line of JSON for each:

storm   50 wrong logins at a time against a bcrypt hash of cost 11, from ten addresses,
        each with another password, beside a pair that talks at a fixed rate. Its p99 is
        to be 5 ms at most, right logins of other users are to be served within a
        second, and 70 % of what one CPU can check is to be checked meanwhile.
herd    2,000 clients log in at once with the same right password, which nobody has used
        before: all are to be in within 2 seconds.
reload  100,000 messages a second while the file changes twice a second: nothing is to
        be lost, nobody closed but the user who was removed, with the right text.
rules   the CPU for a message with and without permissions: 5 % at most.

The status is 1 if one of them is missed. Server and load share the machine as they like
(`rules` apart): a storm that takes every CPU is what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bcrypt

from perf.processes import (
    HOST,
    MeasureError,
    Server,
    build_load,
    connected,
    run_load,
    serving,
)

OURS = "{python} -m pynatsd -a 127.0.0.1 -p {port} -c CONFIG"
COST = 11  # the default of mkpasswd
PASSWORD = b"a right one"

STORM_SECONDS = 15.0
STORM_THREADS = 50
STORM_ADDRESSES = 10
FRIENDS = 12  # users who log in rightly meanwhile, one after the other
TALK = ["--requesters=1", "--rate=1000", "--size=16"]
P99_MAX_US = 5000.0
FRIEND_MAX_S = 1.0
RATE_SHARE_MIN = 0.7

HERD = 2000
HERD_MAX_S = 2.0

RELOADS = 16
RELOAD_PAUSE_S = 0.5
# At a rate, the generator also sees to the order.
RELOAD_LOAD = ["--subscribers=1", "--size=128", "--rate=100000"]

RULES_ROUNDS = 7
RULES_MAX = 1.05
RULES_LOADS = {
    "1:1-16": ["--subscribers=1", "--size=16", "--messages=5000000"],
    "1:1-128": ["--subscribers=1", "--size=128", "--messages=3000000"],
    "wildcard-1000-16": [
        *("--subscribers=1", "--subjects=1000", "--wildcard"),
        *("--size=16", "--messages=3000000"),
    ],
}
PERMISSIONS = """permissions: {
  publish: { allow: ["perf.>", "orders.*.new", "_INBOX.>"], deny: ["perf.secret.>"] }
  subscribe: { allow: ["perf.>", "_INBOX.>"], deny: ["perf.secret.>"] }
}"""


# ---- configurations ----


def user(name: str, password: str, permissions: str = "") -> str:
    return f'{{ user: {name}, password: "{password}", {permissions} }}\n'


def config(*users: str, more: str = "") -> str:
    """One in which those without credentials are the user `guest`."""
    listed = "".join([user("guest", "guest"), *users])
    return f"authorization {{ users = [\n{listed}] }}\nno_auth_user: guest\n{more}"


def hashed(password: bytes) -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(COST, b"2a")).decode()


@contextmanager
def configured(
    command: str, text: str, cpu: int | None = None
) -> Iterator[tuple[Server, Path]]:
    """Serve with a configuration of this text, in a file for `rewrite`."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "server.conf"
        path.write_text(text)
        path.chmod(0o600)
        with serving(command.replace("CONFIG", str(path)), cpu) as server:
            yield server, path


# ---- clients ----


def hello(name: str, password: str) -> bytes:
    said = {"verbose": False, "user": name, "pass": password}
    return b"CONNECT " + json.dumps(said).encode() + b"\r\nPING\r\n"


def log_in(server: Server, name: str, password: str, address: str = HOST) -> bytes:
    """Return the line that the server answers."""
    with connected(server, address) as link:
        link.sendall(hello(name, password))
        return link.makefile("rb").readline()


# ---- storm ----


def seconds_of_a_check(secret: str) -> float:
    """CPU seconds of one bcrypt check, as this machine is now."""
    found = []
    for _ in range(5):
        start = time.thread_time()
        bcrypt.checkpw(b"wrong", secret.encode())
        found.append(time.thread_time() - start)
    return statistics.median(found)


class Attacker:
    """Wrong logins from one address until it is told to stop, each with a new guess."""

    def __init__(self, server: Server, number: int, over: threading.Event) -> None:
        self.refused = 0
        self.late = 0  # refused unchecked, for it waited too long
        self.others: list[bytes] = []  # any other answer
        self._server, self._number, self._over = server, number, over
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        address = f"127.0.0.{2 + self._number % STORM_ADDRESSES}"
        guess = 0
        while not self._over.is_set():
            guess += 1
            try:
                answer = log_in(
                    self._server, "victim", f"{self._number}.{guess}", address
                )
            except OSError as error:
                answer = str(error).encode()
            if answer == b"-ERR 'Authorization Violation'\r\n":
                self.refused += 1
            elif answer == b"-ERR 'Authorization Timeout'\r\n":
                self.late += 1
            else:
                self.others.append(answer)


def storm(command: str) -> dict[str, Any]:
    """Attack, talk, and log in rightly, all at once."""
    secret = hashed(PASSWORD)
    friends = {f"friend{i}": f"{i} is right" for i in range(FRIENDS)}
    users = [user(name, hashed(text.encode())) for name, text in friends.items()]
    check = seconds_of_a_check(secret)
    with configured(command, config(user("victim", secret), *users)) as (server, _):
        over = threading.Event()
        start = time.monotonic()
        attackers = [Attacker(server, i, over) for i in range(STORM_THREADS)]
        talk: dict[str, Any] = {}
        words = [*TALK, f"--seconds={STORM_SECONDS:g}"]
        talking = threading.Thread(
            target=lambda: talk.update(run_load(server, words, None))
        )
        talking.start()
        waits = []
        for name, text in friends.items():
            time.sleep(1.0)
            asked = time.monotonic()
            answer = log_in(server, name, text)
            waits.append(time.monotonic() - asked if answer == b"PONG\r\n" else 99.0)
        talking.join()
        over.set()
        lasted = time.monotonic() - start
        for attacker in attackers:
            attacker.thread.join()
    refused = sum(attacker.refused for attacker in attackers)
    others = [answer for attacker in attackers for answer in attacker.others]
    share = refused * check / lasted
    return {
        "bystander_p50_us": talk.get("p50_us"),
        "bystander_p99_us": talk.get("p99_us"),
        "bystander_max_us": talk.get("max_us"),
        "bystander_errors": talk.get("errors"),
        "refused_per_s": round(refused / lasted, 1),
        "refused_unchecked": sum(attacker.late for attacker in attackers),
        "checks_one_cpu_can_do_per_s": round(1 / check, 1),
        "share_of_one_cpu": round(share, 2),
        "right_login_max_s": round(max(waits), 3),
        "right_login_median_s": round(statistics.median(waits), 3),
        "other_answers": sorted({answer.decode() for answer in others})[:4],
        "ok": talk.get("p99_us", 1e9) <= P99_MAX_US
        and not talk.get("errors")
        and max(waits) <= FRIEND_MAX_S
        and share >= RATE_SHARE_MIN
        and not others,
    }


# ---- herd ----


def herd(command: str) -> dict[str, Any]:
    """Time from the first connect until the last PONG."""
    text = config(user("many", hashed(PASSWORD)))
    with (
        configured(command, text) as (server, _),
        selectors.DefaultSelector() as selector,
    ):
        start = time.monotonic()
        answers: dict[socket.socket, bytes] = {}
        for _ in range(HERD):
            link = socket.create_connection((HOST, server.port), 30.0)
            link.sendall(hello("many", PASSWORD.decode()))
            link.setblocking(False)
            answers[link] = b""
            selector.register(link, selectors.EVENT_READ)
        waiting = HERD
        while waiting and time.monotonic() < start + 30:
            for key, _ in selector.select(1.0):
                link = key.fileobj  # type: ignore[assignment]
                data = link.recv(4096)
                answers[link] += data
                if not data or answers[link].endswith(b"PONG\r\n"):
                    selector.unregister(link)
                    waiting -= 1
        lasted = time.monotonic() - start
        served = sum(text.endswith(b"PONG\r\n") for text in answers.values())
        for link in answers:
            link.close()
    return {
        "clients": HERD,
        "in": served,
        "seconds": round(lasted, 3),
        "ok": served == HERD and lasted <= HERD_MAX_S,
    }


# ---- reload ----


def rewrite(server: Server, path: Path, text: str) -> None:
    """Replace the configuration file, and let the server know."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.chmod(0o600)
    fresh.rename(path)
    os.kill(server.pid, signal.SIGHUP)


def reload(command: str) -> dict[str, Any]:
    """Change limits, permissions and users under load."""
    kept, gone = user("kept", "kept"), user("gone", "gone")
    first = config(kept, gone)
    turns = [
        config(kept, gone, more="max_payload: 500000\n"),
        config(kept, user("other", "x", PERMISSIONS), more="max_payload: 600000\n"),
    ]
    closed, removed = 0, []
    with configured(command, first) as (server, path):
        stays = connected(server)
        stays.sendall(hello("kept", "kept"))
        load: dict[str, Any] = {}
        seconds = (RELOADS + 1) * RELOAD_PAUSE_S
        words = [*RELOAD_LOAD, f"--seconds={seconds:g}"]
        loading = threading.Thread(
            target=lambda: load.update(run_load(server, words, None))
        )
        loading.start()
        for turn in range(RELOADS):
            leaves = connected(server)
            leaves.sendall(hello("gone", "gone"))
            lines = leaves.makefile("rb")
            lines.readline()
            time.sleep(RELOAD_PAUSE_S)
            rewrite(server, path, turns[(turn + 1) % 2])
            if turn % 2 == 0:
                leaves.settimeout(5.0)
                removed.append(lines.readline())
                rewrite(server, path, turns[0])
            leaves.close()
        loading.join()
        stays.sendall(b"PING\r\n")
        stays.settimeout(5.0)
        answer = b""
        while not answer.endswith(b"PONG\r\nPONG\r\n") and not closed:
            data = stays.recv(65536)
            answer = b"".join(
                line + b"\r\n"
                for line in (answer + data).split(b"\r\n")
                if line == b"PONG"
            )
            closed += not data
        stays.close()
    violations = removed.count(b"-ERR 'Authorization Violation'\r\n")
    return {
        "messages_per_s": round(load.get("published", 0) / seconds),
        "published": load.get("published"),
        "delivered": load.get("delivered"),
        "errors": load.get("errors"),
        "removed_users_closed": violations,
        "others_closed": closed,
        "ok": not load.get("errors")
        and load.get("published") == load.get("delivered")
        and violations == len(removed) > 0
        and not closed,
    }


# ---- rules ----


def cpu_of(server: Server, words: list[str]) -> float:
    """
    Microseconds of the server's CPU for a message.

    Raises:
        MeasureError: the run was not faultless.
    """
    found = run_load(server, words, 1)
    if found.get("errors"):
        raise MeasureError("; ".join(found["errors"]))
    return float(found["server_cpu_seconds"] / found["published"] * 1e6)


def rules(command: str) -> dict[str, Any]:
    """Two servers in turn, of which one has permissions for whoever comes."""
    free = "authorization { users = [ { user: guest, password: guest } ] }\n"
    bound = free.replace("password: guest", f"password: guest, {PERMISSIONS}")
    figures: dict[str, Any] = {}
    with (
        configured(command, free + "no_auth_user: guest\n", 0) as (without, _),
        configured(command, bound + "no_auth_user: guest\n", 0) as (having, _),
    ):
        for name, words in RULES_LOADS.items():
            pairs = [
                (cpu_of(without, words), cpu_of(having, words))
                for _ in range(RULES_ROUNDS)
            ]
            plain, ruled = (
                statistics.median(side) for side in zip(*pairs, strict=True)
            )
            figures[name] = {
                "without_us": round(plain, 4),
                "with_us": round(ruled, 4),
                "ratio": round(ruled / plain, 3),
            }
    return {
        **figures,
        "ok": all(figure["ratio"] <= RULES_MAX for figure in figures.values()),
    }


SCENARIOS: dict[str, Callable[[str], dict[str, Any]]] = {
    "storm": storm,
    "herd": herd,
    "reload": reload,
    "rules": rules,
}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m perf.login",
        description="What logins and reloads cost the others.",
    )
    parser.add_argument(
        "--scenario", choices=SCENARIOS, nargs="+", default=[*SCENARIOS]
    )
    parser.add_argument("--ours", default=OURS, help="default: %(default)s")
    chosen = parser.parse_args(words)
    is_right = True
    try:
        build_load()
        for name in chosen.scenario:
            found = SCENARIOS[name](chosen.ours)
            print(json.dumps({"scenario": name, **found}), flush=True)
            is_right = is_right and bool(found["ok"])
    except (MeasureError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
