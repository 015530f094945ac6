"""
Threads that ask the program's own authenticator, and do not wait for it for ever.

A call that takes too long cannot be ended. Its client is refused, its thread left to
itself and another one put in its place, until there are `THREADS_MAX`.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pynatsd.authenticator import Allow, Answer, Deny, Login
from pynatsd.fair_queue import FairQueue
from pynatsd.options import SECONDS

log = logging.getLogger("pynatsd")

WORKERS = 4  # calls at a time
THREADS_MAX = 20  # with those that are left to themselves
WAIT_MAX = 10 * SECONDS  # in the queue; by then the engine has closed the client

Ticket = TypeVar("Ticket")


class Late:
    """The result that there is none: it took too long, or nobody was free to ask."""


Result = Answer | Late


class AuthenticatorError(Exception):
    """
    What an authenticator raised, by the name of its class.

    Not by its text, which may hold what the client sent.
    """


@dataclass(slots=True, eq=False)
class _Job(Generic[Ticket]):
    """A call: in the queue, then running, and perhaps stuck in the end."""

    authenticator: Callable[..., Any]
    login: Login
    limit: float  # seconds that the call may take
    source: str
    ticket: Ticket
    deadline: float  # of its wait in the queue, then of the call


class AuthenticatorPool(Generic[Ticket]):
    """*answer* gets tickets and their results, on a thread of the pool."""

    def __init__(self, answer: Callable[[list[tuple[Ticket, Result]]], None]) -> None:
        self._answer = answer
        lock = threading.Lock()
        self._asked = threading.Condition(lock)  # workers wait for it
        self._called = threading.Condition(lock)  # the keeper waits for it
        # All below is guarded by that lock.
        self._queue: FairQueue[_Job[Ticket]] = FairQueue()
        self._running: set[_Job[Ticket]] = set()
        self._late: list[Ticket] = []  # to be told so by the keeper
        self._threads = 0  # that work, wait, or are stuck
        self._stuck = 0  # threads whose call has taken too long
        self._is_started = False
        self._is_stopping = False

    def start(self) -> None:
        """
        Start the threads. May be called more than once.

        Raises:
            RuntimeError: no thread can be had.
        """
        if not self._is_started:
            _start_thread(self._keep)
            self._is_started = True
        self._hire()

    def stop(self) -> None:
        """No answer is given any more. Calls under way end by themselves, unheard."""
        with self._asked:
            self._is_stopping = True
            self._asked.notify_all()
            self._called.notify_all()

    def ask(
        self,
        authenticator: Callable[..., Any],
        login: Login,
        limit: float,
        source: str,
        ticket: Ticket,
    ) -> bool:
        """
        Ask *authenticator*, who may take *limit* seconds; False: there is no room.

        Never waits: the lock is held for a few steps only.
        """
        now = time.monotonic()
        job = _Job(authenticator, login, limit, source, ticket, now + WAIT_MAX)
        with self._asked:
            if self._is_hanging():
                return False
            loser = self._queue.push(source, job, now)
            if loser is job:
                return False
            if loser is not None:
                self._late.append(loser.ticket)
                self._called.notify()
            self._asked.notify()
            return True

    # ---- workers ----

    def _work(self) -> None:
        while (job := self._take()) is not None:
            result = _call(job.authenticator, job.login)
            if self._settle(job, result):
                self._tell([(job.ticket, result)])

    def _take(self) -> _Job[Ticket] | None:
        """Wait for the next job; None: this thread is not needed any more."""
        with self._asked:
            while True:
                if self._is_stopping or self._threads - self._stuck > WORKERS:
                    self._threads -= 1
                    return None
                job = self._queue.pop()
                if job is not None and self._begin(job):
                    return job
                if job is None:
                    self._asked.wait()

    def _begin(self, job: _Job[Ticket]) -> bool:
        now = time.monotonic()
        if now > job.deadline:
            self._late.append(job.ticket)
            self._called.notify()
            return False
        job.deadline = now + job.limit
        self._running.add(job)
        if len(self._running) == 1:  # else the keeper knows of an earlier deadline
            self._called.notify()
        return True

    def _settle(self, job: _Job[Ticket], result: Result) -> bool:
        """Whether *result* came in time."""
        with self._asked:
            if isinstance(result, Deny):
                self._queue.blame(job.source, time.monotonic())
            if job in self._running:
                self._running.remove(job)
                return True
            was_hanging = self._is_hanging()
            self._stuck -= 1
        if was_hanging:
            log.info("The authenticator is back, logins are served again")
        return False

    # ---- the keeper ----

    def _keep(self) -> None:
        while not self._is_stopping:
            late, complaints = self._overdue()
            for complaint in complaints:
                log.error("%s", complaint)
            self._tell([(ticket, Late()) for ticket in late])
            try:
                self._hire()
            except RuntimeError as error:
                log.error("Cannot replace a thread of the authenticator: %s", error)

    def _overdue(self) -> tuple[list[Ticket], list[str]]:
        """Wait for tickets that get no result; returns them, and lines for the log."""
        complaints: list[str] = []
        with self._called:
            while not (self._late or self._is_stopping):
                now = time.monotonic()
                stuck = [job for job in self._running if job.deadline <= now]
                if stuck:
                    complaints = self._leave(stuck)
                    break
                ends = [job.deadline for job in self._running]
                self._called.wait(min(ends) - now if ends else None)
            late, self._late = self._late, []
        return late, complaints

    def _leave(self, stuck: list[_Job[Ticket]]) -> list[str]:
        """Give these calls up, and what waits too if they hold every thread."""
        complaints = []
        for job in stuck:
            complaints.append(f"The authenticator took longer than {job.limit:g} s")
            self._running.remove(job)
            self._late.append(job.ticket)
        self._stuck += len(stuck)
        if self._is_hanging():
            hang = f"The authenticator hangs in {self._stuck} calls, logins are refused"
            complaints.append(hang)
            while (waiting := self._queue.pop()) is not None:
                self._late.append(waiting.ticket)
        return complaints

    def _hire(self) -> None:
        """Start threads for those that are stuck, as far as there may be more."""
        with self._asked:
            wanted = WORKERS - (self._threads - self._stuck)
            wanted = min(wanted, THREADS_MAX - self._threads)
            self._threads += max(wanted, 0)
        for started in range(wanted):
            try:
                _start_thread(self._work)
            except RuntimeError:
                with self._asked:
                    self._threads -= wanted - started
                raise

    def _is_hanging(self) -> bool:
        return self._threads == self._stuck == THREADS_MAX

    def _tell(self, results: list[tuple[Ticket, Result]]) -> None:
        if not results or self._is_stopping:
            return
        try:
            self._answer(results)
        except Exception:
            log.exception("Internal error, logins not answered")


def _start_thread(target: Callable[[], None]) -> None:
    # A daemon, because nobody knows when a call returns.
    threading.Thread(target=target, name="pynatsd-authenticator", daemon=True).start()


def _call(authenticator: Callable[..., Any], login: Login) -> Answer:
    """What *authenticator* says; a denial if it raises or says something else."""
    try:
        answer = authenticator(login)
    except BaseException as error:  # sys.exit in it must not end our thread either
        shown = AuthenticatorError(type(error).__name__)
        trace = (type(shown), shown, error.__traceback__)
        log.error("Error in the authenticator, login denied", exc_info=trace)
        return Deny()
    if isinstance(answer, Allow | Deny | None):
        return answer
    log.error(
        "The authenticator must answer Allow, Deny or NEXT, not %s: login denied",
        type(answer).__name__,
    )
    return Deny()
