"""Lines of progress, with an estimate of the time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def seconds_left(elapsed: float, done: float, total: float) -> float:
    """
    Return how long the rest will take, if the guesses were wrong by one factor.

    *done* and *total* are guesses in seconds, *elapsed* what the done part took.
    """
    return (total - done) * (elapsed / done if done else 1.0)


def told_time(seconds: float) -> str:
    """
    90 -> 1:30 min
    """
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"


@dataclass(slots=True)
class Progress:
    """How far we are, by the guesses of the scenarios; *total* in seconds."""

    total: float
    clock: Callable[[], float] = time.monotonic
    done: float = 0.0
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def step(self, seconds: float) -> str:
        """Take one round in that was guessed at *seconds*; return the time left."""
        self.done = min(self.total, self.done + seconds)
        left = seconds_left(self.clock() - self.started, self.done, self.total)
        return told_time(left)
