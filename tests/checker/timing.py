"""Whether the time of a refusal tells how near the guess was.

    python tests/checker/timing.py              20,000 refusals of each kind

Two kinds of wrong guesses are timed in random turns, and Welch's t of the two is
computed: below 4.5 they cannot be told apart. The slowest hundredth, in which others
had the processor, is left out. One line of JSON for each pair of kinds; the last one is
a comparison that does leak, which must be found. The exit status is 0 if all is as it
should be. Not for CI: on a busy machine the leak can drown.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from pynatsd.auth import VIOLATION, Door
from pynatsd.connect import note, parse
from pynatsd.core import Admit, ConnectEvent
from pynatsd.options import Options, User

SAMPLES = 20_000
COPIES = 200
T_MAX = 4.5
KEPT = 0.99  # of the samples
SECRET = "correct-horse-battery-staple-123"
NEAR = SECRET[:-1] + "4"  # differs in its last character
FAR = "x" + SECRET[1:-1] + "4"  # and in its first one too

USERS = tuple(User(f"user{number:03}", SECRET) for number in range(100))

Guess = Callable[[], object]


def refusals(options: Options, *wrong: dict[str, str]) -> list[list[Guess]]:
    """
    For each of the wrong CONNECTs, calls that have it judged, at one door.

    Many that are the same, because where in memory things lie shows in the time too.
    """
    door = Door(options, lambda *words: None, lambda answers: None)
    kinds: list[list[Guess]] = [[] for _ in wrong]
    for _ in range(COPIES):
        for guesses, fields in zip(kinds, wrong, strict=True):
            argument = json.dumps(fields).encode()
            connect = parse(argument)
            event = ConnectEvent(1, argument, None, "127.0.0.1:1000 - cid:1", False)
            guess = partial(door.decide, event, connect, Admit(0, note(connect)))
            assert guess() is VIOLATION
            guesses.append(guess)
    return kinds


def leaky(offered: str) -> Guess:
    """What nobody should do: it stops at the first difference."""

    def guess() -> object:
        for ours, theirs in zip(SECRET, offered, strict=True):
            if ours != theirs:
                return VIOLATION
        return None

    return guess


def pairs() -> dict[str, list[list[Guess]]]:
    one = Options(user="user", password=SECRET)
    named = Options(user=SECRET, password="p")
    return {
        "password": refusals(
            one, {"user": "user", "pass": NEAR}, {"user": "user", "pass": FAR}
        ),
        "user": refusals(
            named, {"user": NEAR, "pass": "p"}, {"user": FAR, "pass": "p"}
        ),
        "token": refusals(
            Options(token=SECRET), {"auth_token": NEAR}, {"auth_token": FAR}
        ),
        "unknown user": refusals(
            Options(users=USERS),
            {"user": "user050", "pass": FAR},
            {"user": "user999", "pass": FAR},
        ),
        "control": [[leaky(NEAR)], [leaky(FAR)]],
    }


def measure(kinds: list[list[Guess]], samples: int) -> tuple[list[int], list[int]]:
    """Nanoseconds of each call, without the slowest."""
    times: tuple[list[int], list[int]] = ([], [])
    turns = [0, 1] * samples
    random.shuffle(turns)
    for kind in turns:
        guess = random.choice(kinds[kind])
        begin = time.perf_counter_ns()
        guess()
        times[kind].append(time.perf_counter_ns() - begin)
    limit = sorted(times[0] + times[1])[int(KEPT * len(turns))]
    return [t for t in times[0] if t < limit], [t for t in times[1] if t < limit]


def welch(one: list[int], other: list[int]) -> float:
    spread = sum(statistics.variance(each) / len(each) for each in (one, other))
    return float((statistics.fmean(one) - statistics.fmean(other)) / spread**0.5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=SAMPLES, help="of each kind")
    samples = parser.parse_args().samples
    gc.disable()
    is_clean = True
    for name, kinds in pairs().items():
        measure(kinds, samples // 10)  # caches are warm then
        one, other = measure(kinds, samples)
        t = welch(one, other)
        is_as_expected = (abs(t) < T_MAX) == (name != "control")
        report: dict[str, Any] = {
            "scenario": name,
            "samples": samples,
            "t": round(t, 2),
            "mean_ns": [round(statistics.fmean(each)) for each in (one, other)],
            "verdict": "clean" if is_as_expected else "failed",
        }
        print(json.dumps(report), flush=True)
        is_clean &= is_as_expected
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
