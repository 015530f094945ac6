"""
A bounded queue that serves its sources in turn, those who failed lately last.

Not a lock in it: whoever owns the queue guards it.
"""

import socket
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from pynatsd.options import SECONDS

QUEUE_MAX = 4096  # items; the engine waits for no more answers
BLAME_MAX = 4096  # sources whose failures are remembered
BLAME_TIME = 60 * SECONDS

T = TypeVar("T", bound=Hashable)


class FairQueue(Generic[T]):
    """
    Items wait under the source that they come from. Times are the caller's, in seconds.

    Sources take turns. As long as anyone waits who did not fail for `BLAME_TIME`, the
    others get no turn: failures, however many, do not delay them.
    """

    def __init__(self, capacity: int = QUEUE_MAX) -> None:
        self._capacity = capacity
        self._clean: _Lines[T] = _Lines()
        self._blamed: _Lines[T] = _Lines()
        self._failures: OrderedDict[str, float] = OrderedDict()  # latest at the end

    def __len__(self) -> int:
        return len(self._clean) + len(self._blamed)

    def push(self, source: str, item: T, now: float) -> T | None:
        """
        Let *item* wait. Returns who has no room now: None, another item, or *item*.

        In a full queue the longest line, of the blamed if there are any, loses its
        newest item to a shorter one.
        """
        lines = self._blamed if self._is_blamed(source, now) else self._clean
        loser = None
        if len(self) >= self._capacity:
            crowded = self._blamed or self._clean
            if lines is self._blamed and crowded is self._clean:
                return item
            longest = crowded.longest()
            if lines is crowded and lines.size(source) + 1 >= crowded.size(longest):
                return item
            loser = crowded.newest(longest)
            crowded.remove(longest, loser)
        lines.add(source, item)
        return loser

    def pop(self) -> T | None:
        """Take the item whose turn it is."""
        lines = self._clean or self._blamed
        return lines.take() if lines else None

    def move(self, item: T, old: str, new: str, now: float) -> bool:
        """
        Let *item* wait under *new* instead of *old*, if that is the better place.

        Returns whether it was done.
        """
        if not self._blamed.has(old, item) or self._is_blamed(new, now):
            return False
        self._blamed.remove(old, item)
        self._clean.add(new, item)
        return True

    def blame(self, source: str, now: float) -> None:
        """*source* has failed: it, and what it has waiting here, comes last."""
        self._failures[source] = now
        self._failures.move_to_end(source)
        if len(self._failures) > BLAME_MAX:
            self._failures.popitem(last=False)
        for item in self._clean.items(source):
            self._clean.remove(source, item)
            self._blamed.add(source, item)

    def _is_blamed(self, source: str, now: float) -> bool:
        failure = self._failures.get(source)
        return failure is not None and now - failure < BLAME_TIME


class _Lines(Generic[T]):
    """A line for each source, oldest item first. No step grows with their number."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, dict[T, None]] = OrderedDict()  # by turns
        self._sources: dict[int, dict[str, None]] = {}  # by the length of their line
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def size(self, source: str) -> int:
        return len(self._lines.get(source, ()))

    def has(self, source: str, item: T) -> bool:
        return item in self._lines.get(source, ())

    def items(self, source: str) -> list[T]:
        return list(self._lines.get(source, ()))

    def longest(self) -> str:
        """The source with the longest line; of several, who has it longest."""
        return next(iter(self._sources[max(self._sources)]))

    def newest(self, source: str) -> T:
        return next(reversed(self._lines[source]))

    def add(self, source: str, item: T) -> None:
        line = self._lines.setdefault(source, {})
        line[item] = None
        self._count += 1
        self._resized(source, len(line) - 1, len(line))

    def remove(self, source: str, item: T) -> None:
        line = self._lines[source]
        del line[item]
        if not line:
            del self._lines[source]
        self._count -= 1
        self._resized(source, len(line) + 1, len(line))

    def take(self) -> T:
        """The oldest item of the source whose turn it is; the turn goes on."""
        source, line = next(iter(self._lines.items()))
        item = next(iter(line))
        self._lines.move_to_end(source)
        self.remove(source, item)
        return item

    def _resized(self, source: str, old: int, new: int) -> None:
        if old:
            del self._sources[old][source]
            if not self._sources[old]:
                del self._sources[old]
        if new:
            self._sources.setdefault(new, {})[source] = None


def source_of(address: str) -> str:
    """
    What counts as one source: an IPv4 address, or the /64 of an IPv6 address.

    Anything else stands for itself.
    """
    try:
        packed = socket.inet_pton(socket.AF_INET6, address)
    except OSError:
        return address
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[len(_MAPPED) :])
    return socket.inet_ntop(socket.AF_INET6, packed[:8] + bytes(8)) + "/64"


_MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address written as one of IPv6
