"""The program's own authenticator: what it may say, raise, and how long it may take."""

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pynatsd import authenticator_pool
from pynatsd.authenticator import NEXT, Allow, Deny, Login
from pynatsd.authenticator_pool import THREADS_MAX, WORKERS, AuthenticatorPool, Late
from pynatsd.options import Permissions, Rules

DEADLINE = 10.0 * float(os.environ.get("PYNATSD_SLOW_FACTOR", "1"))
SHORT = 0.02  # seconds, for calls that shall take too long
LONG = 3 * DEADLINE  # for those that shall not
LOGIN = Login("u", "planted-secret", "planted-token", "n", "l", "v", "127.0.0.1", 1)


class Bench:
    """A pool whose results can be waited for, and calls that hang until let go."""

    def __init__(self) -> None:
        self.results: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.pool: AuthenticatorPool[str] = AuthenticatorPool(self._answer)
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.pool.start()

    def _answer(self, results: list[tuple[str, Any]]) -> None:
        for each in results:
            self.results.put(each)

    def hang(self, login: Login) -> Any:
        self.begun.release()
        assert self.go_on.acquire(timeout=2 * DEADLINE)
        return Allow("late")

    def ask(
        self,
        authenticator: Callable[..., Any],
        ticket: str = "t",
        source: str = "s",
        limit: float = LONG,
    ) -> bool:
        return self.pool.ask(authenticator, LOGIN, limit, source, ticket)

    def result(self) -> Any:
        return self.results.get(timeout=DEADLINE)[1]

    def fill(self, limit: float) -> None:
        """Let every worker there is hang."""
        for number in range(WORKERS):
            assert self.ask(self.hang, f"hang{number}", limit=limit)
        for _ in range(WORKERS):
            assert self.begun.acquire(timeout=DEADLINE)

    def threads(self) -> tuple[int, int]:
        with self.pool._asked:
            return self.pool._threads, self.pool._stuck


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.pool.stop()
    bench.go_on.release(1000)
    until(lambda: bench.threads() == (0, 0))


def until(is_true: Callable[[], bool]) -> None:
    """Poll; 1 ms apart, so that the others get their turn."""
    pause = threading.Event()
    for _ in range(int(DEADLINE * 1000)):
        if is_true():
            return
        pause.wait(0.001)
    raise AssertionError("did not become true")


# ---- what it may say ----


@pytest.mark.parametrize(
    "answer",
    [
        Allow("u"),
        Allow("", Permissions(publish=Rules(deny=("x",)))),
        Deny(),
        Deny("r"),
        NEXT,
    ],
)
def test_answer(bench: Bench, answer: Any) -> None:
    seen: list[Login] = []

    def authenticator(login: Login) -> Any:
        seen.append(login)
        return answer

    assert bench.ask(authenticator)
    assert bench.result() is answer
    assert seen == [LOGIN]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (True, "bool"),
        (False, "bool"),
        ("allow", "str"),
        (Allow, "type"),
        ([], "list"),
        (0, "int"),
        (Late(), "Late"),
        (NotImplemented, "NotImplementedType"),
    ],
)
def test_no_answer_is_a_denial(
    bench: Bench, answer: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench.ask(lambda login: answer)
    assert bench.result() == Deny()
    assert caplog.messages == [
        f"The authenticator must answer Allow, Deny or NEXT, not {kind}: login denied"
    ]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"user": None}, "user: must be text, not NoneType"),
        ({"user": b"u"}, "user: must be text, not bytes"),
        (
            {"user": "u", "permissions": {"publish": "x"}},
            "permissions: must be Permissions or None, not dict",
        ),
    ],
)
def test_what_cannot_be_allowed(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        Allow(**fields)


def test_reason_of_a_denial_is_text() -> None:
    with pytest.raises(ValueError, match=r"^reason: must be text, not NoneType$"):
        Deny(None)  # type: ignore[arg-type]


# ---- what it may raise ----


class Odd(BaseException):
    """Not even an `Exception`."""


@pytest.mark.parametrize("error", [ValueError, KeyError, SystemExit, Odd])
def test_what_it_raises_is_a_denial(
    bench: Bench, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def authenticator(login: Login) -> None:
        raise error(login.password, login.token)

    for _ in range(2 * WORKERS):  # and costs no thread
        bench.ask(authenticator)
        assert bench.result() == Deny()
    record = caplog.records[0]
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "Error in the authenticator, login denied"
    shown = caplog.text
    assert "raise error(login.password, login.token)" in shown  # where it was
    assert f"AuthenticatorError: {error.__name__}" in shown
    assert "planted" not in shown


def test_denials_come_last(bench: Bench) -> None:
    bench.ask(lambda login: Deny(), source="bad")
    bench.result()
    bench.ask(lambda login: NEXT, source="good")
    bench.result()
    until(lambda: "bad" in bench.pool._queue._failures)
    assert list(bench.pool._queue._failures) == ["bad"]


# ---- how long it may take ----


def test_several_at_a_time(bench: Bench) -> None:
    bench.fill(LONG)
    assert bench.ask(lambda login: NEXT, "waits")
    assert bench.results.empty()
    bench.go_on.release()
    assert isinstance(bench.result(), Allow)
    assert bench.result() is NEXT


def test_too_long(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.fill(SHORT)
    for _ in range(WORKERS):
        assert isinstance(bench.result(), Late)
    assert caplog.messages == ["The authenticator took longer than 0.02 s"] * WORKERS
    # Others have taken the places of the stuck.
    bench.ask(lambda login: NEXT)
    assert bench.result() is NEXT
    assert bench.threads() == (2 * WORKERS, WORKERS)


def test_an_answer_that_comes_too_late_is_not_heard(bench: Bench) -> None:
    bench.fill(SHORT)
    for _ in range(WORKERS):
        assert isinstance(bench.result(), Late)
    bench.go_on.release(WORKERS)
    until(lambda: bench.threads() == (WORKERS, 0))
    assert bench.results.empty()
    bench.ask(lambda login: NEXT)
    assert bench.result() is NEXT


def test_limits_of_several_calls(bench: Bench) -> None:
    bench.ask(bench.hang, "long")
    assert bench.begun.acquire(timeout=DEADLINE)
    bench.ask(lambda login: NEXT, "quick")
    assert bench.results.get(timeout=DEADLINE) == ("quick", NEXT)
    bench.go_on.release()
    assert bench.results.get(timeout=DEADLINE) == ("long", Allow("late"))


def hang_for_good(bench: Bench) -> None:
    for _ in range(THREADS_MAX // WORKERS):
        bench.fill(SHORT)
        for _ in range(WORKERS):
            assert isinstance(bench.result(), Late)


def test_hangs_for_good(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    hang_for_good(bench)
    until(lambda: bench.threads() == (THREADS_MAX, THREADS_MAX))
    hang = f"The authenticator hangs in {THREADS_MAX} calls, logins are refused"
    assert caplog.messages.count(hang) == 1
    assert not bench.ask(lambda login: NEXT)
    bench.go_on.release()
    until(lambda: bench.threads()[1] == THREADS_MAX - 1)
    assert bench.ask(lambda login: NEXT)
    assert bench.result() is NEXT
    back = "The authenticator is back, logins are served again"
    until(lambda: caplog.messages.count(back) == 1)
    bench.go_on.release()
    until(lambda: bench.threads()[1] == THREADS_MAX - 2)
    assert caplog.messages.count(back) == 1


def test_who_waits_is_refused_when_all_hang(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticator_pool, "THREADS_MAX", WORKERS)
    for number in range(WORKERS):
        bench.ask(bench.hang, f"hang{number}", limit=10 * SHORT)
    for _ in range(WORKERS):
        assert bench.begun.acquire(timeout=DEADLINE)
    bench.ask(lambda login: NEXT, "waits")
    tickets = {bench.results.get(timeout=DEADLINE)[0] for _ in range(WORKERS + 1)}
    assert tickets == {"waits", *(f"hang{number}" for number in range(WORKERS))}


def test_thread_that_cannot_be_replaced(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(target: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(authenticator_pool, "_start_thread", fail)
    bench.ask(bench.hang, limit=SHORT)
    assert isinstance(bench.result(), Late)
    text = "Cannot replace a thread of the authenticator: can't start new thread"
    until(lambda: text in caplog.messages)
    assert bench.threads() == (WORKERS, 1)
    bench.ask(lambda login: NEXT)
    assert bench.result() is NEXT


# ---- who has to wait ----


def test_no_room(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.fill(LONG)
    monkeypatch.setattr(bench.pool._queue, "_capacity", 2)
    assert bench.ask(lambda login: NEXT, "a1", source="a")
    assert bench.ask(lambda login: NEXT, "a2", source="a")
    assert not bench.ask(lambda login: NEXT, "a3", source="a")
    assert bench.ask(lambda login: NEXT, "b1", source="b")
    ticket, result = bench.results.get(timeout=DEADLINE)
    assert ticket == "a2"
    assert isinstance(result, Late)


def test_waited_too_long(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.fill(LONG)
    monkeypatch.setattr(authenticator_pool, "WAIT_MAX", -1)
    called: list[Login] = []
    bench.ask(called.append, "waits")
    bench.go_on.release()
    results = dict(bench.results.get(timeout=DEADLINE) for _ in range(2))
    assert isinstance(results["waits"], Late)
    assert called == []


def test_nothing_is_told_after_stop(bench: Bench) -> None:
    bench.fill(LONG)
    bench.ask(lambda login: NEXT)
    bench.pool.stop()
    bench.go_on.release(WORKERS)
    until(lambda: bench.threads() == (0, 0))
    assert bench.results.empty()


def test_an_answer_that_fails_costs_no_thread(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(results: list[tuple[str, Any]]) -> None:
        raise RuntimeError("no")

    for _ in range(2 * WORKERS):
        bench.pool._answer = fail
        bench.ask(lambda login: NEXT)
        until(lambda: "Internal error, logins not answered" in caplog.messages)
        caplog.clear()
    assert bench.threads() == (WORKERS, 0)


def test_started_twice_has_no_more_threads(bench: Bench) -> None:
    bench.pool.start()
    assert bench.threads() == (WORKERS, 0)
