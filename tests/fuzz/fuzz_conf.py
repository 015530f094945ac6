"""
Random mutations of the inputs of tests/py/test_conf.py: only ConfError may come out.

    python tests/fuzz/fuzz_conf.py --seconds 60

An input that takes longer than a second ends it, too. What failed is printed, with the
seed that finds it again.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parents[1] / "py"))

from test_conf import ACCEPTED, CUT_OFF, REFUSED

from pynatsd.conf import ConfError, parse

LONGEST = 1.0  # seconds for one input
PIECES = [
    *"'\"{}[](),;=:#/\\$-.0k \t\n\r\0",
    "include ",
    "2016-",
    "\ufeff",
    "$a",
    "\n)\n",
]


class TooLong(Exception):
    """An input took longer than `LONGEST`."""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--seed", type=int, default=time.time_ns())
    options = arguments.parse_args()
    chance = random.Random(options.seed)
    inputs = [row[0] for table in (ACCEPTED, REFUSED, CUT_OFF) for row in table]
    seeds = [_bytes(text) for text in inputs]
    signal.signal(signal.SIGALRM, _interrupt)
    end = time.monotonic() + options.seconds
    count = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # nothing to include
        while time.monotonic() < end:
            text = mutated(chance, seeds)
            count += 1
            try:
                refused += is_refused(text)
            except Exception:
                print(f"seed {options.seed}, input {count}: {text!r}", file=sys.stderr)
                raise
        os.chdir("/")
    print(f"{count} inputs, {refused} refused, seed {options.seed}")
    return 0


def is_refused(text: bytes) -> bool:
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        parse(text, "n")
    except ConfError as error:
        if error.line == 0:
            raise AssertionError("an error without a place") from error
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return False


def mutated(chance: random.Random, seeds: list[bytes]) -> bytes:
    """One to three inputs, cut and joined, with a few bytes changed."""
    text = b"\n".join(chance.choices(seeds, k=chance.randint(1, 3)))
    for _ in range(chance.randint(1, 6)):
        start = chance.randint(0, len(text))
        stop = min(start + chance.choice((0, 0, 1, 2, 8)), len(text))
        piece = chance.choice(
            (
                b"",
                _bytes(chance.choice(PIECES)),
                bytes([chance.randrange(256)]),
                text[start:stop] * chance.randint(2, 70),
                chance.choice(seeds),
            )
        )
        text = text[:start] + piece + text[stop:]
    return text


def _bytes(text: str | bytes) -> bytes:
    return text.encode(errors="surrogatepass") if isinstance(text, str) else text


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise TooLong


if __name__ == "__main__":
    sys.exit(main())
