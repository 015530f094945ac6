"""The bcrypt pool, with checks that end when the test says so and a clock by hand."""

import os
import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from pynatsd import bcrypt_pool, secret
from pynatsd.bcrypt_pool import (
    CACHE_MAX,
    CACHE_TIME,
    WAIT_MAX,
    WAITERS_MAX,
    BcryptPool,
    Verdict,
)

DEADLINE = 10.0 * float(os.environ.get("PYNATSD_SLOW_FACTOR", "1"))
HASH = "$2b$04$" + "." * 53
OTHER = "$2b$04$" + "/" * 53

RIGHT, WRONG, LATE = Verdict.RIGHT, Verdict.WRONG, Verdict.LATE


class Bench:
    """A pool with one worker; passwords that begin with `r` are right."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pool: BcryptPool[str] = BcryptPool(
            self._answer, check=self._check, now=lambda: self.now
        )
        self.begun: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.told: queue.Queue[list[tuple[str, Verdict]]] = queue.Queue()
        self._ends = threading.Semaphore(0)
        self.answer: Callable[[], None] = lambda: None

    def _check(self, hashed: str, offered: bytes) -> bool:
        self.begun.put((hashed, offered))
        assert self._ends.acquire(timeout=DEADLINE)
        return offered.startswith(b"r")

    def _answer(self, verdicts: list[tuple[str, Verdict]]) -> None:
        self.told.put(verdicts)
        self.answer()

    def ask(
        self, ticket: str, offered: str, source: str = "s", hashed: str = HASH
    ) -> Verdict | None:
        return self.pool.ask(hashed, offered.encode(), source, ticket)

    def begins(self) -> str:
        """Wait for the next check; returns the password."""
        return self.begun.get(timeout=DEADLINE)[1].decode()

    def ends(self) -> list[tuple[str, Verdict]]:
        """Let the check end, and return what is told then."""
        self._ends.release()
        return self.told.get(timeout=DEADLINE)

    def checks(self) -> list[str]:
        """Let all checks end that there are; returns their passwords in order."""
        passwords = []
        while True:
            passwords.append(self.begins())
            self.ends()
            with self.pool._changed:
                if not self.pool._flights:
                    return passwords


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(bcrypt_pool, "WORKERS_MAX", 1)
    bench = Bench()
    bench.pool.start()
    yield bench
    bench.pool.stop()
    bench._ends.release(1000)
    for thread in bench.pool._threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()


# ---- verdicts ----


def test_right(bench: Bench) -> None:
    assert bench.ask("t1", "right") is None
    assert bench.begun.get(timeout=DEADLINE) == (HASH, b"right")
    assert bench.ends() == [("t1", RIGHT)]


def test_wrong(bench: Bench) -> None:
    assert bench.ask("t1", "wrong") is None
    assert bench.ends() == [("t1", WRONG)]


def test_72_bytes_count(bench: Bench) -> None:
    bench.ask("t1", "r" * 72 + "x")
    bench.ask("t2", "r" * 72 + "y")
    assert bench.begins() == "r" * 72
    assert bench.ends() == [("t1", RIGHT), ("t2", RIGHT)]


# ---- one check for all ----


def test_equal_logins_are_checked_once(bench: Bench) -> None:
    for number in range(2000):
        assert bench.ask(f"t{number}", "right", f"10.0.{number // 256}.1") is None
    assert bench.begins() == "right"
    assert bench.ends() == [(f"t{number}", RIGHT) for number in range(2000)]
    assert bench.begun.empty()
    assert bench.told.empty()


def test_one_joins_a_check_under_way(bench: Bench) -> None:
    bench.ask("t1", "wrong")
    bench.begins()
    bench.ask("t2", "wrong", "elsewhere")
    assert bench.ends() == [("t1", WRONG), ("t2", WRONG)]
    assert bench.begun.empty()


def test_other_passwords_and_other_hashes_are_other_checks(bench: Bench) -> None:
    bench.ask("t1", "right")
    bench.ask("t2", "rather")
    bench.ask("t3", "right", hashed=OTHER)
    assert bench.checks() == ["right", "rather", "right"]


# ---- what is known ----


def test_success_is_known_for_a_while(bench: Bench) -> None:
    bench.ask("t1", "right")
    bench.ends()
    bench.now += CACHE_TIME - 1
    assert bench.ask("t2", "right") is RIGHT
    bench.now += 1
    assert bench.ask("t3", "right") is None
    assert bench.ends() == [("t3", RIGHT)]
    bench.now += CACHE_TIME - 1
    assert bench.ask("t4", "right") is RIGHT


def test_success_is_known_of_this_hash_alone(bench: Bench) -> None:
    bench.ask("t1", "right")
    bench.ends()
    assert bench.ask("t2", "right", hashed=OTHER) is None


def test_failure_is_never_known(bench: Bench) -> None:
    bench.ask("t1", "wrong")
    bench.begins()
    bench.ends()
    assert bench.ask("t2", "wrong") is None
    assert bench.begins() == "wrong"
    assert bench.ends() == [("t2", WRONG)]


def test_forget(bench: Bench) -> None:
    bench.ask("t1", "right")
    bench.ends()
    bench.pool.forget()
    assert bench.ask("t2", "right") is None


def test_bounded_memory_of_successes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CACHE_MAX == 4096
    monkeypatch.setattr(bcrypt_pool, "CACHE_MAX", 2)
    for password in ("r1", "r2", "r3"):
        bench.ask("t", password)
        bench.ends()
    assert bench.ask("t", "r2") is RIGHT
    assert bench.ask("t", "r3") is RIGHT
    assert bench.ask("t", "r1") is None


# ---- whose turn it is ----


def test_sources_take_turns(bench: Bench) -> None:
    bench.ask("t", "w0", "a")
    assert bench.begins() == "w0"
    for password in ("w1", "w2", "w3"):
        bench.ask("t", password, "b")
    bench.ask("t", "w4", "c")
    bench.ends()
    assert bench.checks() == ["w1", "w4", "w2", "w3"]


def test_a_right_login_overtakes_a_storm_of_wrong_ones(bench: Bench) -> None:
    sources = [f"10.0.0.{number}" for number in range(10)]
    for number in range(10):  # each address has failed once
        bench.ask("t", f"w{number}", sources[number])
        bench.begins()
        bench.ends()
    for number in range(50):
        bench.ask("t", f"w{number}", sources[number % 10])
    bench.begins()
    bench.ask("good", "right", "192.0.2.1")
    bench.ends()
    assert bench.begins() == "right"
    assert bench.ends() == [("good", RIGHT)]


def test_a_right_login_waits_for_one_turn_of_each_new_address(bench: Bench) -> None:
    for number in range(50):
        bench.ask("t", f"w{number}", f"10.0.0.{number % 10}")
    bench.begins()
    bench.ask("good", "right", "192.0.2.1")
    bench.ends()
    assert bench.checks().index("right") <= 9


def test_all_who_shared_a_failure_are_blamed(bench: Bench) -> None:
    bench.ask("t", "w", "a")
    bench.ask("t", "w", "b")
    bench.begins()
    bench.ends()
    bench.ask("t", "w0", "z")
    bench.begins()
    for source in "abc":
        bench.ask("t", f"w{source}", source)
    bench.ends()
    assert bench.checks() == ["wc", "wa", "wb"]


def test_who_joins_a_blamed_one_takes_it_along(bench: Bench) -> None:
    bench.ask("t", "w", "bad")
    bench.begins()
    bench.ends()
    bench.ask("t", "w0", "x")
    bench.begins()
    bench.ask("t1", "right", "bad")
    bench.ask("t2", "r1", "y")
    bench.ask("t3", "r2", "y")
    bench.ask("t4", "right", "good")
    bench.ends()
    assert bench.checks() == ["r1", "right", "r2"]


def test_who_took_it_along_may_be_blamed_too(bench: Bench) -> None:
    bench.ask("t", "wrong", "bad")
    bench.begins()
    bench.ends()
    bench.ask("t", "w0", "worse")
    bench.begins()
    bench.ask("t1", "right", "bad")
    bench.ask("t2", "right", "worse")

    def when_worse_has_failed() -> None:
        bench.answer = lambda: None
        for password in ("r1", "r2"):
            bench.ask("t", password, "y")
        bench.ask("t3", "right", "good")

    bench.answer = when_worse_has_failed
    bench.ends()
    assert bench.checks() == ["r1", "right", "r2"]


# ---- who gets no check ----


def test_bounded_memory_of_those_who_wait(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert WAITERS_MAX == 8192
    monkeypatch.setattr(bcrypt_pool, "WAITERS_MAX", 3)
    bench.ask("t0", "w0")
    bench.begins()
    assert bench.ask("t1", "w1") is None
    assert bench.ask("t2", "w1") is None
    assert bench.ask("t3", "w1") is LATE
    assert bench.ask("t4", "w4") is LATE
    bench.ends()
    assert bench.begins() == "w1"
    assert bench.ask("t5", "w1") is None
    assert bench.ends() == [("t1", WRONG), ("t2", WRONG), ("t5", WRONG)]
    assert bench.pool._waiters == 0


def test_no_room(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.pool._queue, "_capacity", 2)
    bench.ask("t0", "w0", "a")
    bench.begins()
    assert bench.ask("t1", "w1", "a") is None
    assert bench.ask("t2", "w2", "a") is None
    assert bench.ask("t3", "w3", "a") is LATE  # nothing is kept of it
    assert bench.ask("t4", "w2", "a") is None  # needs no room: joins t2
    assert bench.ask("t5", "w5", "b") is None  # t2 and t4 make room
    assert bench.ends() == [("t0", WRONG)]
    assert bench.told.get(timeout=DEADLINE) == [("t2", LATE), ("t4", LATE)]
    assert bench.checks() == ["w5", "w1"]
    assert not bench.pool._flights
    assert bench.pool._waiters == 0


def test_who_waited_too_long_is_not_checked(bench: Bench) -> None:
    bench.ask("t0", "w0", "a")
    bench.begins()
    bench.ask("t1", "w1", "a")
    bench.ask("t2", "w2", "a")
    bench.now = WAIT_MAX
    bench.ask("t3", "w3", "a")
    bench.ask("t4", "w2", "a")  # for this one, the check is not too late
    bench.now = WAIT_MAX + 0.1
    bench.ends()
    assert bench.told.get(timeout=DEADLINE) == [("t1", LATE)]
    assert bench.checks() == ["w2", "w3"]


# ---- life ----


def test_nothing_is_told_after_stop(bench: Bench) -> None:
    bench.ask("t1", "right")
    bench.ask("t2", "rather")
    bench.begins()
    bench.pool.stop()
    bench._ends.release()
    for thread in bench.pool._threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert bench.told.empty()
    assert bench.begun.empty()


def test_started_twice_has_no_more_workers(bench: Bench) -> None:
    bench.pool.start()
    assert len(bench.pool._threads) == 1


@pytest.mark.parametrize(("cpus", "workers"), [(1, 1), (2, 1), (3, 2), (64, 2)])
def test_workers(monkeypatch: pytest.MonkeyPatch, cpus: int, workers: int) -> None:
    monkeypatch.setattr(bcrypt_pool, "usable_cpus", lambda: cpus)
    bench = Bench()
    bench.pool.start()
    assert len(bench.pool._threads) == workers
    bench.pool.stop()


def test_an_answer_that_fails_costs_no_worker(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("no")

    bench.answer = fail
    bench.ask("t1", "right1")
    bench.ends()
    bench.ask("t2", "right2")
    assert bench.ends() == [("t2", RIGHT)]
    assert "Internal error, logins not answered" in caplog.text


def test_workers_have_the_lowest_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: queue.Queue[int] = queue.Queue()

    def check(hashed: str, offered: bytes) -> bool:
        seen.put(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return True

    pool: BcryptPool[str] = BcryptPool(lambda verdicts: None, check=check)
    pool.start()
    pool.ask(HASH, b"", "s", "t")
    assert seen.get(timeout=DEADLINE) == 19
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < 19
    pool.stop()


def test_priority_that_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*words: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", forbid)
    bench = Bench()
    bench.pool.start()
    bench.ask("t", "right")
    assert bench.ends() == [("t", RIGHT)]
    bench.pool.stop()


def test_no_password_is_shown(bench: Bench) -> None:
    bench.ask("t0", "w0")
    bench.begins()
    bench.ask("t1", "planted-secret")
    (flight,) = [f for f in bench.pool._flights.values() if "t1" in f.tickets]
    assert "planted" not in repr(flight)
    assert HASH not in repr(flight)


# ---- the check itself ----


def hashed(password: bytes, prefix: str = "$2b$") -> str:
    import bcrypt

    return prefix + bcrypt.hashpw(password, bcrypt.gensalt(4)).decode()[4:]


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_bcrypt(prefix: str) -> None:
    known = hashed(b"secret", prefix)
    assert secret.check_bcrypt(known, b"secret")
    for other in (b"", b"Secret", b"secret ", b"secre", known.encode()):
        assert not secret.check_bcrypt(known, other)


@pytest.mark.parametrize(
    ("password", "offered", "is_right"),
    [
        (b"a" * 72, b"a" * 71, False),
        (b"a" * 72, b"a" * 72, True),
        (b"a" * 72, b"a" * 73, True),
        (b"a" * 72, b"a" * 900, True),
        (b"a" * 72, b"a" * 71 + b"b", False),
        (b"a" * 71, b"a" * 72, False),
        (b"secret", b"secret\0", False),
        (b"secret", b"secret\0x", False),
        ("pässwörd".encode(), "pässwörd".encode(), True),
        ("pässwörd".encode(), b"p\xe4ssw\xf6rd", False),
    ],
)
def test_bcrypt_of_bytes(password: bytes, offered: bytes, is_right: bool) -> None:
    assert secret.check_bcrypt(hashed(password), offered) is is_right


def test_bcrypt_takes_nul_as_data() -> None:
    known = hashed(b"a\0b")
    assert secret.check_bcrypt(known, b"a\0b")
    assert not secret.check_bcrypt(known, b"a\0c")
    assert not secret.check_bcrypt(known, b"a")


class Panic(BaseException):
    """As the Rust code of the library raises it."""


@pytest.mark.parametrize("error", [ValueError, Panic, SystemExit])
def test_what_bcrypt_raises_is_a_no(
    error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import bcrypt

    def fail(offered: bytes, known: bytes) -> bool:
        raise error(offered)

    monkeypatch.setattr(bcrypt, "checkpw", fail)
    assert not secret.check_bcrypt(HASH, b"planted-secret")
    assert caplog.messages == [f"Error checking a bcrypt hash: {error.__name__}"]
    assert "planted" not in caplog.text


# ---- seals ----


def test_seals() -> None:
    sealer = secret.Sealer()
    one = sealer.seal(b"one")
    assert len(one) == len(sealer.nothing) == 32
    assert sealer.are_equal(one, sealer.seal(b"one"))
    assert not sealer.are_equal(one, sealer.seal(b"two"))
    assert not sealer.are_equal(sealer.nothing, sealer.seal(b""))
    assert one != secret.Sealer().seal(b"one")


def test_seals_take_any_text() -> None:
    assert secret.to_bytes("\ud800") == b"\xed\xa0\x80"
    assert secret.to_bytes("é\0") == b"\xc3\xa9\0"
