"""The table of speed scenarios."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
THOUSAND = 1000
MILLION = 1000 * 1000


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    One load: who publishes how much to whom.

    *messages* is for each publisher, chosen so that one round costs nats-server
    1 to 2 seconds of CPU. *size* is of a payload, in bytes. *inflight* is how many
    bytes a publisher may be ahead of the deliveries; 0 leaves that to the sockets.
    With *requesters*, *messages* is requests of each of them, and with *storm* the
    number of connections; neither has publishers or subscribers.
    """

    name: str
    size: int
    messages: int
    publishers: int = 1
    subscribers: int = 0
    subjects: int = 1
    pairs: bool = False
    shuffle: bool = False
    wildcard: bool = False
    queue: str = ""
    inflight: int = 0
    requesters: int = 0
    new_inbox: bool = False
    storm: bool = False

    @property
    def has_check(self) -> bool:
        """Whether ``--check`` is a second way to run it."""
        return not self.requesters and not self.storm

    def arguments(self, *, messages: int, sizes: str) -> list[str]:
        """Return the generator's arguments, with the counts and sizes to use."""
        if self.storm:
            return [f"--connects={messages}"]
        if self.requesters:
            return self._request_arguments(messages, sizes)
        return self._flow_arguments(messages, sizes)

    def _request_arguments(self, messages: int, sizes: str) -> list[str]:
        found = [
            f"--requesters={self.requesters}",
            f"--messages={messages}",
            f"--size={sizes}",
        ]
        if self.new_inbox:
            found.append("--new-inbox")
        return found

    def _flow_arguments(self, messages: int, sizes: str) -> list[str]:
        found = [
            f"--publishers={self.publishers}",
            f"--subscribers={self.subscribers}",
            f"--messages={messages}",
            f"--size={sizes}",
            f"--subjects={self.subjects}",
        ]
        if self.pairs:
            found.append("--pairs")
        if self.shuffle:
            found.append("--shuffle")
        if self.wildcard:
            found.append("--wildcard")
        if self.queue:
            found.append(f"--queue={self.queue}")
        if self.inflight:
            found.append(f"--inflight={self.inflight}")
        return found


SCENARIOS = (
    Scenario("pub-16", 16, 10 * MILLION),
    Scenario("pub-128", 128, 8 * MILLION),
    Scenario("1:1-16", 16, 5 * MILLION, subscribers=1),
    Scenario("1:1-128", 128, 4 * MILLION, subscribers=1),
    Scenario("1:1-1k", 1 * KIB, 1500 * THOUSAND, subscribers=1),
    Scenario("1:1-64k", 64 * KIB, 20 * THOUSAND, subscribers=1),
    Scenario("1:10-128", 128, 1 * MILLION, subscribers=10),
    Scenario("1:100-128", 128, 100 * THOUSAND, subscribers=100),
    Scenario("1:1000-16", 16, 10 * THOUSAND, subscribers=1000),
    Scenario("1:10-64k", 64 * KIB, 4 * THOUSAND, subscribers=10),
    Scenario("8:8-128", 128, 600 * THOUSAND, publishers=8, subscribers=8, pairs=True),
    Scenario("32:1-128", 128, 125 * THOUSAND, publishers=32, subscribers=1),
    Scenario("queue-1:8-128", 128, 4 * MILLION, subscribers=8, queue="workers"),
    Scenario(
        "wildcard-1000-16",
        16,
        4 * MILLION,
        subscribers=1,
        subjects=1000,
        wildcard=True,
    ),
    Scenario(
        "literals-100k",
        16,
        1 * MILLION,
        subscribers=1,
        subjects=100 * THOUSAND,
        shuffle=True,
    ),
    Scenario("rr-1", 16, 20 * THOUSAND, requesters=1),
    Scenario("rr-32", 16, 3 * THOUSAND, requesters=32),
    Scenario("rr-inbox-32", 16, 3 * THOUSAND, requesters=32, new_inbox=True),
    # Few enough that five rounds leave local ports over: each waits a minute closed.
    Scenario("connect", 0, 5 * THOUSAND, storm=True),
)
