"""
Threads that check bcrypt hashes, so that nobody else has to wait for it.

Equal checks are made once for all who ask for them together, and a success is known
for a while: the thousand clients of one program that reconnect cost one check. Who
fails waits behind those who do not, see `fair_queue.py`.
"""

import enum
import logging
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pynatsd.cpus import usable_cpus
from pynatsd.fair_queue import FairQueue
from pynatsd.options import MINUTES, SECONDS
from pynatsd.secret import HASHED_MAX, Sealer, check_bcrypt

log = logging.getLogger("pynatsd")

WORKERS_MAX = 2
NICENESS = 19  # the lowest priority: reactors that share the CPU go first
WAIT_MAX = 10 * SECONDS  # in the queue; by then the engine has closed the client
WAITERS_MAX = 8192  # tickets; a client that went away may still have one
CACHE_MAX = 4096  # successes
CACHE_TIME = 5 * MINUTES

Ticket = TypeVar("Ticket")


class Verdict(enum.Enum):
    RIGHT = "right"
    WRONG = "wrong"
    LATE = "late"  # not checked: too many wait, or it waited too long


@dataclass(slots=True, eq=False)
class _Flight(Generic[Ticket]):
    """One check, and all who wait for its result."""

    key: bytes = field(repr=False)
    secret: str = field(repr=False)
    offered: bytes = field(repr=False)
    source: str  # where it waits in the queue
    asked: float  # when the last of those who wait came
    tickets: list[Ticket] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)


class BcryptPool(Generic[Ticket]):
    """
    *answer* gets the tickets and verdicts that are ready together, on a worker.

    *check* and *now* are for tests; `start` may be called more than once.
    """

    def __init__(
        self,
        answer: Callable[[list[tuple[Ticket, Verdict]]], None],
        *,
        check: Callable[[str, bytes], bool] = check_bcrypt,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._answer = answer
        self._check = check
        self._now = now
        self._sealer = Sealer()
        self._changed = threading.Condition(threading.Lock())
        # All below is guarded by _changed.
        self._queue: FairQueue[_Flight[Ticket]] = FairQueue()
        self._flights: dict[bytes, _Flight[Ticket]] = {}  # queued or being checked
        self._waiters = 0  # tickets of all flights
        self._late: list[Ticket] = []  # to be told so by the next worker
        self._known: OrderedDict[bytes, float] = OrderedDict()  # successes, until when
        self._threads: list[threading.Thread] = []
        self._is_stopping = False

    def start(self) -> None:
        """
        Start the workers.

        Raises:
            RuntimeError: no thread can be had.
        """
        wanted = max(1, min(WORKERS_MAX, usable_cpus() - 1))  # one CPU is not for them
        with self._changed:
            while len(self._threads) < wanted:
                # A daemon, because a check may take longer than a program may wait.
                thread = threading.Thread(
                    target=self._work, name="pynatsd-bcrypt", daemon=True
                )
                thread.start()
                self._threads.append(thread)

    def stop(self) -> None:
        """No answer is given any more. A check under way ends by itself, unheard."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()

    def forget(self) -> None:
        """Check anew what was right before."""
        with self._changed:
            self._known.clear()

    def ask(
        self, secret: str, offered: bytes, source: str, ticket: Ticket
    ) -> Verdict | None:
        """
        Whether *offered* is the password of the hash *secret*; None: answered later.

        Never waits: the lock is held for a few steps only.
        """
        offered = offered[:HASHED_MAX]
        key = self._sealer.seal(secret.encode() + offered)  # a hash has a fixed length
        with self._changed:
            now = self._now()
            if self._known.get(key, now) > now:
                return Verdict.RIGHT
            if self._waiters >= WAITERS_MAX:
                return Verdict.LATE
            flight = self._flights.get(key)
            if flight is None:
                flight = _Flight(key, secret, offered, source, now)
                if not self._enqueue(flight, now):
                    return Verdict.LATE
            elif self._queue.move(flight, flight.source, source, now):
                flight.source = source
            flight.asked = now
            flight.tickets.append(ticket)
            flight.sources.add(source)
            self._waiters += 1
            return None

    def _enqueue(self, flight: _Flight[Ticket], now: float) -> bool:
        loser = self._queue.push(flight.source, flight, now)
        if loser is flight:
            return False
        if loser is not None:
            self._give_up(loser)
        self._flights[flight.key] = flight
        self._changed.notify()
        return True

    def _work(self) -> None:
        """Worker thread."""
        _be_patient()
        while not self._is_stopping:
            flight, late = self._take()
            self._tell([(ticket, Verdict.LATE) for ticket in late])
            if flight is not None:
                is_right = self._check(flight.secret, flight.offered)
                self._tell(self._finish(flight, is_right))

    def _take(self) -> tuple[_Flight[Ticket] | None, list[Ticket]]:
        """Wait for the next check, or for somebody to whom to say that it is late."""
        with self._changed:
            while not (self._queue or self._late or self._is_stopping):
                self._changed.wait()
            flight = self._queue.pop()
            while flight is not None and self._now() - flight.asked > WAIT_MAX:
                self._give_up(flight)
                flight = self._queue.pop()
            late, self._late = self._late, []
            return flight, late

    def _give_up(self, flight: _Flight[Ticket]) -> None:
        self._forget(flight)
        self._late += flight.tickets

    def _forget(self, flight: _Flight[Ticket]) -> None:
        del self._flights[flight.key]
        self._waiters -= len(flight.tickets)

    def _finish(
        self, flight: _Flight[Ticket], is_right: bool
    ) -> list[tuple[Ticket, Verdict]]:
        with self._changed:
            now = self._now()
            self._forget(flight)
            if is_right:
                self._known[flight.key] = now + CACHE_TIME
                self._known.move_to_end(flight.key)
                if len(self._known) > CACHE_MAX:
                    self._known.popitem(last=False)
            else:
                for source in flight.sources:
                    self._queue.blame(source, now)
        verdict = Verdict.RIGHT if is_right else Verdict.WRONG
        return [(ticket, verdict) for ticket in flight.tickets]

    def _tell(self, verdicts: list[tuple[Ticket, Verdict]]) -> None:
        if not verdicts or self._is_stopping:
            return
        try:
            self._answer(verdicts)
        except Exception:
            log.exception("Internal error, logins not answered")


def _be_patient() -> None:
    """Give this thread the lowest priority, where threads have one of their own."""
    if sys.platform == "linux":
        with suppress(OSError):  # it may be forbidden
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
