"""
The thread that writes the log, and the bounded queue before it.

Whoever logs adds to the queue and goes on. Orders stand in the same queue, so a line
goes to the target that was the right one when it was logged.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from pynatsd import files
from pynatsd.log_format import Form
from pynatsd.sinks import Descriptor, Sink

QUEUE_MAX = 4 * 1024 * 1024  # characters that may wait, and as many that were taken

_ENTRY_COST = 200  # characters that an entry weighs beside its text
_PIECE = 256  # lines that are made at once, and are lost together
_GRACE = 0.5  # seconds without progress after which an order waits no longer
_DELAY_MIN, _DELAY_MAX = 0.1, 5.0  # seconds to the next try; each waits twice as long

_Entry = tuple[float, int, str]  # when, level, text
_Order = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Target:
    """Where lines go and how they look."""

    sink: Sink
    form: Form
    path: str = ""  # of a file


class Writer:
    """
    Writes entries to a target, and counts what is lost on the way.

    What a sink that `retries` does not take waits, while the queue fills; what another
    does not take is lost. The number of lost lines is logged when there is room again.
    """

    def __init__(self, target: Target) -> None:
        self._changed = threading.Condition(threading.Lock())
        # Under the lock:
        self._entries: list[_Entry | _Order] = []
        self._waiting = 0  # characters in _entries, and what they weigh
        self._refused = 0  # lines, ever, because the queue was full
        self._orders = 0  # that are not carried out yet
        self._urged = math.inf  # since when somebody waits for that, or for the end
        self._is_closing = False
        # The thread's own, though anyone may read the counts:
        self._target = target
        self._failed = 0  # lines, ever, because writing failed
        self._reported = 0  # lines, ever, that the log says are missing
        self._noticed = 0  # lines of _refused that belong before the next line
        self._progress = 0.0  # when something was written last
        self._delay = _DELAY_MIN
        self.failed_writes = 0
        # A daemon, because a reader that stopped reading may hold it for ever.
        self._thread = threading.Thread(
            target=self._run, name="pynatsd-log", daemon=True
        )
        self._thread.start()

    # ---- for everybody ----

    @property
    def dropped(self) -> int:
        """Lines that were not written, since the start."""
        return self._refused + self._failed

    def is_full(self) -> bool:
        return self._waiting >= QUEUE_MAX or self._is_closing

    def refuse(self) -> None:
        """Count a line that was not even made, for want of room."""
        with self._changed:
            self._refused += 1

    def put(self, entries: list[_Entry]) -> None:
        with self._changed:
            if not self._entries:
                self._changed.notify()
            self._entries += entries
            for _, _, text in entries:
                self._waiting += _ENTRY_COST + len(text)

    def switch(self, target: Target) -> None:
        """Go on with *target* after the lines that are in the queue."""
        self._command(partial(self._switch, target))

    def reopen(self) -> None:
        """Open the target's file anew after the lines that are in the queue."""
        with self._changed:
            is_next = bool(self._entries) and self._entries[-1] == self._reopen
        if not is_next:  # a storm of signals does not fill the queue
            self._command(self._reopen)

    def close(self) -> None:
        """Write what is in the queue while there is progress, for a second at most."""
        with self._changed:
            if self._is_closing:
                return
            self._is_closing = True
            self._urged = min(self._urged, time.monotonic())
            self._changed.notify()
        self._thread.join(2 * _GRACE)

    def _command(self, order: _Order) -> None:
        with self._changed:
            self._entries.append(order)
            self._orders += 1
            self._urged = min(self._urged, time.monotonic())
            self._changed.notify()

    # ---- the thread ----

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            entries, refused = taken
            lines: deque[bytes] = deque()
            for entry in entries:
                if callable(entry):
                    self._write(lines)
                    self._carry_out(entry)
                    continue
                lines.append(self._line(*entry))
                if len(lines) == _PIECE:
                    self._write(lines)
            self._write(lines)
            if refused > self._noticed:
                self._noticed = refused
                self._report()
        self._target.sink.close()

    def _take(self) -> tuple[list[_Entry | _Order], int] | None:
        """All entries, and the count of lines refused after them; None: it is over."""
        with self._changed:
            while not self._entries:
                if self._is_closing:
                    return None
                self._changed.wait()
            taken, self._entries = self._entries, []
            self._waiting = 0
            return taken, self._refused

    def _line(self, when: float, level: int, text: str) -> bytes:
        return self._target.form.line(when, level, text).encode("ascii")

    def _write(self, lines: deque[bytes]) -> None:
        """Empty *lines*: what cannot be written is counted."""
        if not lines:
            return
        self._report()
        if not self._deliver(lines):
            self._failed += len(lines)
            lines.clear()

    def _note(self, level: int, text: str) -> None:
        self._write(deque([self._line(time.time(), level, text)]))

    def _report(self) -> None:
        """Say how many lines are missing here, if any are."""
        missing = self._noticed + self._failed
        if missing > self._reported:
            text = f"Dropped {missing - self._reported} lines"
            if self._deliver(deque([self._line(time.time(), logging.ERROR, text)])):
                self._reported = missing

    def _deliver(self, lines: deque[bytes]) -> bool:
        """Whether all of *lines* could be written; what could not is left there."""
        sink = self._target.sink
        while lines:
            if time.monotonic() > self._patience_ends():
                sink.abandon()
                return False
            count = len(lines)
            try:
                sink.write(lines)
            except OSError:
                self.failed_writes += 1
                if not sink.retries:
                    return False
                self._pause()
            if len(lines) < count:
                self._progress = time.monotonic()
        self._delay = _DELAY_MIN
        return True

    def _patience_ends(self) -> float:
        """The time at which a target that takes nothing holds up no order any more."""
        return max(self._urged, self._progress) + _GRACE

    def _pause(self) -> None:
        """Wait before the next try, each time longer, but not when patience ends."""
        end = time.monotonic() + self._delay
        self._delay = min(2 * self._delay, _DELAY_MAX)
        with self._changed:
            while (left := min(end, self._patience_ends()) - time.monotonic()) > 0:
                self._changed.wait(left)

    # ---- orders, on the thread ----

    def _carry_out(self, order: _Order) -> None:
        order()
        with self._changed:
            self._orders -= 1
            is_awaited = self._orders or self._is_closing
            self._urged = time.monotonic() if is_awaited else math.inf

    def _switch(self, target: Target) -> None:
        self._target.sink.close()
        self._target = target
        self._progress = time.monotonic()
        self._delay = _DELAY_MIN

    def _reopen(self) -> None:
        path = self._target.path
        try:
            fd = files.open_to_append(path)
        except OSError as error:
            why = f"File log not re-opened: open {path}: {files.reason(error)}"
            self._note(logging.ERROR, why)
            return
        self._switch(replace(self._target, sink=Descriptor(fd, is_ours=True)))
        self._note(logging.INFO, "File log re-opened")
