"""The table of scenarios, with the goals of each."""

from __future__ import annotations

from perf.bench import Scenario
from perf.churn import Churn
from perf.goals import Goal, Kind, Measure
from perf.memory import KIB, MIB, Flood, Memory
from perf.rate import RequestRate
from perf.speed import Speed
from perf.threads import Threads

THOUSAND = 1000
MILLION = 1000 * THOUSAND
MB = 1000 * THOUSAND
MAX_PENDING = 10 * MIB  # our default, owed to one connection before it is cut
FLOOD_SLACK = 16 * MIB  # read buffers, pools, what the allocator rounds up

PAIRS = Speed(
    *("8:8-128", 128, 600 * THOUSAND, 2.8, 3.6),
    publishers=8,
    subscribers=8,
    pairs=True,
)
# Ids are dealt to reactors in turn: of two, each pair above has one to itself, and here
# every message crosses. Of requests and replies half do.
CROSSING = Speed(
    *("7:7-128", 128, 600 * THOUSAND), publishers=7, subscribers=7, pairs=True
)
REQUESTS = Speed("rr-32", 16, 3 * THOUSAND, 2.0, 2.6, requesters=32)

# All whose CPU is compared with the reference.
SPEEDS = (
    Speed("pub-16", 16, 10 * MILLION, 4.0, 6),
    Speed("pub-128", 128, 8 * MILLION, 4.5, 7),
    Speed("1:1-16", 16, 5 * MILLION, 6.0, 10, subscribers=1),
    Speed("1:1-128", 128, 4 * MILLION, 3.5, 4.7, subscribers=1),
    Speed("1:1-1k", 1 * KIB, 1500 * THOUSAND, 2.3, 3, subscribers=1),
    Speed("1:1-64k", 64 * KIB, 20 * THOUSAND, 2.5, 3.6, subscribers=1),
    Speed("1:10-128", 128, 1 * MILLION, 2.2, 2.7, subscribers=10),
    Speed("1:100-128", 128, 100 * THOUSAND, 1.5, 1.8, subscribers=100),
    Speed("1:1000-16", 16, 10 * THOUSAND, 3.0, 3.6, subscribers=1000),
    Speed("1:10-64k", 64 * KIB, 4 * THOUSAND, 1.35, 1.6, subscribers=10),
    PAIRS,
    Speed("32:1-128", 128, 125 * THOUSAND, 4.0, 5.3, publishers=32, subscribers=1),
    Speed("queue-1:8-128", 128, 4 * MILLION, 3.0, 4, subscribers=8, queue="workers"),
    Speed(
        *("wildcard-1000-16", 16, 4 * MILLION, 2.6, 3.3),
        subscribers=1,
        subjects=1000,
        wildcard=True,
    ),
    Speed(
        *("literals-100k", 16, 1 * MILLION, 6, 13),
        subscribers=1,
        subjects=100 * THOUSAND,
        shuffle=True,
    ),
    Speed(*("rr-1", 16, 20 * THOUSAND, 1.4, 1.7), requesters=1, has_latency_goal=True),
    REQUESTS,
    Speed(*("rr-inbox-32", 16, 3 * THOUSAND, 1.8, 2.2), requesters=32, new_inbox=True),
    # Few enough that five rounds leave ports over: each waits a minute closed.
    Speed("connect", 0, 5 * THOUSAND, 1.5, 3, storm=True),
)


def at_most(key: str, unit: str, limit: float, *, is_cost: bool = True) -> Measure:
    """A figure of ours with a limit of its own."""
    return Measure(key, unit, Goal(Kind.MOST, limit), is_cost)


LOSS = at_most("loss", "% slower beside", 10, is_cost=False)

WEIGHTS = (
    Memory("memory-base", at_most("rss", "B resident", 30 * MB)),
    Memory("memory", at_most("per_connection", "B/connection", 2048), connections=5000),
    Memory(
        "memory-sub",
        at_most("per_subscription", "B/subscription", 250),
        connections=1,
        topics=100 * THOUSAND,
    ),
    Memory("memory-distinct", at_most("growth", "B growth", 2 * MB), distinct=MILLION),
    Flood("flood", at_most("peak", "B peak growth", MAX_PENDING + FLOOD_SLACK)),
)


def scenarios(cpus: int) -> tuple[Scenario, ...]:
    """Return all of them for a machine of so many CPUs, in the order of a whole run."""
    return (
        *SPEEDS,
        RequestRate("rr-rate", Goal(Kind.TIMES, 2.0)),
        Churn("churn", LOSS, 50 * THOUSAND),
        Threads("threads", (PAIRS, CROSSING, REQUESTS), cpus),
        *WEIGHTS,
    )
