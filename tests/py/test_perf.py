"""The benchmark's own arithmetic: goals, medians, schedule, resuming, comparison."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

# Behind everything else, so that the package under test is not the folder beside it.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from perf import run, session
from perf.bench import UNPINNED, Bench, Placement, Rounds, Scenario, Side
from perf.churn import compared
from perf.compare import changes, comparison
from perf.goals import MET, MISSED, NO_REFERENCE, Goal, Kind, Measure, judge
from perf.processes import MeasureError, filled_in
from perf.progress import Progress, seconds_left, told_time
from perf.record import Measured, Record, Row, figures_of
from perf.record import judge as judge_round
from perf.scenarios import scenarios
from perf.session import Interrupted, Task
from perf.speed import Speed
from perf.table import ending, notes, shown, text_table, told_round
from perf.threads import Threads, relative, thread_counts

SIDES = {
    "ours": {"version": "1", "command": "a"},
    "peer": {"version": "2", "command": "b"},
}
COST = Measure("cpu_us", "CPU us/msg", Goal(Kind.TIMES, 2.0, 4.0))
PINNED = Placement("pinned", 0, 1)
BENCH = Bench((Side("ours", "a"), Side("peer", "b")), 2, PINNED)
LINE = {
    "published": 10,
    "delivered": 100,
    "expected": 100,
    "seconds": 2.0,
    "cpu_seconds": 1.9,
    "server_cpu_seconds": 0.001,
    "errors": [],
}


def rounds(side: str, *costs: float) -> list[Measured]:
    return [
        Measured(side, number, {"cpu_us": cost, "rate": 1000.0})
        for number, cost in enumerate(costs, 1)
    ]


def failed(side: str, number: int = 1) -> Measured:
    return Measured(side, number, errors=("1 message lost",))


def record(path: Path, *measured: Measured, name: str = "1:1") -> Record:
    head = {
        "kind": "scenarios",
        "started": "now",
        "revision": "abc",
        "machine": {"cpu": "one"},
    }
    found = Record(path, head, SIDES)
    found.begin(name, {"placement": "pinned"}, (COST,))
    for one in measured:
        found.add(name, one)
    found.finish(name)
    return found


# Goals


@pytest.mark.parametrize(
    ("goal", "ours", "reference", "mark", "aim_met"),
    [
        (Goal(Kind.TIMES, 2, 4), 1.0, 1.9, MISSED, False),
        (Goal(Kind.TIMES, 2, 4), 1.0, 2.0, MET, False),
        (Goal(Kind.TIMES, 2, 4), 1.0, 4.0, MET, True),
        (Goal(Kind.TIMES, 2), 1.0, 100.0, MET, False),
        (Goal(Kind.TIMES, 2), math.inf, 2.0, MISSED, False),
        (Goal(Kind.TIMES, 2), 1.0, math.inf, NO_REFERENCE, False),
        (Goal(Kind.TIMES, 2), 1.0, None, NO_REFERENCE, False),
        (Goal(Kind.MOST, 10), 10.0, 0.1, MET, False),
        (Goal(Kind.MOST, 10), 10.1, 99.0, MISSED, False),
        (Goal(Kind.MOST, 10), math.inf, 99.0, MISSED, False),
        (Goal(Kind.MOST, 10, 5), 4.0, None, MET, True),
        (Goal(Kind.LEAST, 1.6), 1.6, None, MET, False),
        (Goal(Kind.LEAST, 1.6), 1.5, None, MISSED, False),
        (None, 1.0, 9.0, "", False),
    ],
)
def test_a_goal_is_met_or_missed(
    goal: Goal | None, ours: float, reference: float | None, mark: str, aim_met: bool
) -> None:
    verdict = judge(Measure("x", "us", goal), ours, reference)
    assert (verdict.mark, verdict.aim_met) == (mark, aim_met)


def test_times_less_is_the_reference_over_ours() -> None:
    assert judge(COST, 0.5, 2.0).times == 4.0
    assert judge(replace(COST, is_cost=False, goal=None), 0.5, 2.0).times is None


def test_a_goal_that_does_not_apply_says_why() -> None:
    measure = Measure("rate x2", "", unjudged="not measured: 2 CPUs")
    assert judge(measure, 1.0, None).mark == "not measured: 2 CPUs"


def test_every_scenario_has_a_goal_and_a_name_of_its_own() -> None:
    table = scenarios(cpus=16)
    names = [one.name for one in table]
    assert len(set(names)) == len(names)
    assert all(any(m.goal for m in one.measures) for one in table)
    for goal in [m.goal for one in table for m in one.measures if m.goal]:
        assert goal.aim is None or goal.holds(goal.aim, goal.must)


# Rounds and medians


def test_cpu_is_divided_by_the_messages_moved() -> None:
    assert figures_of(LINE)["cpu_us"] == pytest.approx(10.0)
    alone = LINE | {"delivered": 0, "expected": 0}
    assert figures_of(alone) == {"cpu_us": pytest.approx(100.0), "rate": 5.0}


def test_latencies_become_figures() -> None:
    assert figures_of(LINE | {"p99_us": 7.0, "latencies": 9})["p99_us"] == 7.0


def test_a_failed_round_is_infinitely_expensive_and_never_fast() -> None:
    one = judge_round("ours", 1, LINE | {"errors": ["lost"]})
    assert one.figure("cpu_us") == math.inf
    assert one.figure("p99_us") == math.inf
    assert one.figure("rate") == 0.0
    assert judge_round("ours", 1, {"errors": ["said nothing"]}).errors


def test_a_failed_round_is_felt_in_the_median() -> None:
    row = Row({}, (COST,), [*rounds("ours", 1.0, 2.0), failed("ours", 3)])
    spread = row.spread("ours", "cpu_us")
    assert spread
    assert (spread.middle, spread.low, spread.high) == (2.0, 1.0, math.inf)
    row.rounds.append(failed("ours", 4))
    row.rounds.append(failed("ours", 5))
    spread = row.spread("ours", "cpu_us")
    assert spread
    assert spread.middle == math.inf


def test_places_of_a_curve_are_summed_up_apart() -> None:
    near, far = rounds("ours", 1.0)[0], replace(rounds("ours", 9.0)[0], at=30)
    row = Row({}, (COST,), [near, far])
    assert row.places() == [0, 30]
    spread = row.spread("ours", "cpu_us", 30)
    assert spread
    assert spread.middle == 9.0
    assert row.spread("peer", "cpu_us", 30) is None


def test_churn_is_the_loss_of_throughput() -> None:
    alone, beside = rounds("ours", 1.0, 2.0)
    raw = {"churned": 500, "churn_seconds": 0.5}
    beside = replace(beside, figures=beside.figures | {"rate": 900.0}, raw=raw)
    found = compared("loss", alone, beside)
    assert found.figures["loss"] == pytest.approx(10.0)
    assert found.figures["churn_per_s"] == 1000.0
    assert compared("loss", failed("ours"), beside).errors


def test_threads_are_relative_to_one_thread() -> None:
    found = {("rr", 1): rounds("ours", 2.0)[0], ("rr", 2): rounds("ours", 3.0)[0]}
    assert relative(1, found).figures["cpu x2 rr"] == 1.5
    assert relative(1, found | {("rr", 2): failed("ours")}).errors


def test_thread_counts_follow_the_cpus() -> None:
    assert thread_counts(2) == (1, 2)
    assert thread_counts(8) == (1, 2, 4, 8)
    few, many = (Threads("threads", (Speed("x", 1, 1),), cpus) for cpus in (2, 4))
    assert few.measures[1].unjudged == "not measured: 2 CPUs"
    assert many.measures[1].goal == Goal(Kind.LEAST, 1.6)


# The file


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    kept = record(path, *rounds("ours", 1.0, 2.0), failed("peer"))
    again = Record.load(path)
    assert again == kept
    assert again.is_complete("1:1")
    stored = json.loads(path.read_text())["rows"]["1:1"]["summary"][0]
    assert stored["mark"] == NO_REFERENCE
    assert stored["sides"]["ours"]["middle"] == 1.5
    assert stored["sides"]["peer"]["middle"] is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1}'])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(MeasureError):
        Record.load(path)


def test_missed_goals_count_only_when_strict(tmp_path: Path) -> None:
    missed = record(tmp_path / "r", *rounds("ours", 1.0), *rounds("peer", 1.5))
    assert missed.missed == ["1:1"]
    assert session.exit_status(missed, is_strict=False) == 0
    assert session.exit_status(missed, is_strict=True) == 1
    assert "MISSED: 1:1" in ending(missed, judged=True)
    met = record(tmp_path / "r", *rounds("ours", 1.0), *rounds("peer", 2.5))
    assert session.exit_status(met, is_strict=True) == 0
    broken = record(tmp_path / "r", *rounds("ours", 1.0), failed("peer"))
    assert session.exit_status(broken, is_strict=False) == 1
    assert "1 rounds failed" in ending(broken, judged=False)


# The schedule


def test_both_placements_give_two_rows_but_threads_have_their_own() -> None:
    table: list[Scenario] = [Speed("a", 1, 1), Threads("threads", (), 2)]
    tasks = run.plan(table, [PINNED, UNPINNED], BENCH)
    assert [(task.name, task.bench.placement.name) for task in tasks] == [
        ("a", "pinned"),
        ("a unpinned", "unpinned"),
        ("threads", "unpinned"),
    ]


def test_scenarios_are_chosen_by_name_or_pattern() -> None:
    table = scenarios(2)
    assert [s.name for s in run.chosen(["rr-1"], table)] == ["rr-1"]
    names = [s.name for s in run.chosen(["pub-*", "memory"], table)]
    assert names == ["pub-16", "pub-128", "memory"]
    check = run.pattern_of([s.name for s in table])
    assert check("memory-*") == "memory-*"
    with pytest.raises(argparse.ArgumentTypeError):
        check("nothing")


def test_a_peer_is_a_name_and_a_command() -> None:
    assert session.named_command("a=b --x=1") == ("a", "b --x=1")
    for text in ("a", "=b", "a=", "ours=b"):
        with pytest.raises(argparse.ArgumentTypeError):
            session.named_command(text)


def test_the_command_of_a_server_is_filled_in() -> None:
    assert filled_in("{python} '{port} {port}' -t {threads}", 7, 0) == [
        sys.executable,
        "7 7",
        "-t",
        "1",
    ]
    assert filled_in("a {threads}", 7, 4) == ["a", "4"]
    assert filled_in("a {port}", 7, 4) == ["env", "GOMAXPROCS=4", "a", "7"]
    assert filled_in("a {port}", 7, 0) == ["a", "7"]


def test_the_file_does_not_name_itself() -> None:
    words = ["--rounds", "2", "--json", "x", "--newest"]
    assert session.without_file(words) == ["--rounds", "2", "--newest"]
    assert session.without_file(["--json=x", "--smoke"]) == ["--smoke"]


def test_the_time_left_learns_from_the_time_taken() -> None:
    assert seconds_left(0.0, 0.0, 60.0) == 60.0
    assert seconds_left(20.0, 10.0, 60.0) == 100.0
    assert told_time(89.6) == "1:30 min"
    assert told_time(59.0) == "59 s"
    now = [100.0]
    progress = Progress(4.0, clock=lambda: now[0])
    now[0] = 110.0
    assert progress.step(1.0) == "30 s"


@dataclass
class Fake:
    """A scenario of two rounds, which can end in an exception after *survive*."""

    name: str = "fake"
    pace: float = 1.0
    measures: tuple[Measure, ...] = (COST,)
    end: BaseException | None = None
    survive: int = 0
    ran: int = 0
    closed: list[bool] = field(default_factory=list)

    def settings(self, bench: Bench) -> dict[str, Any]:
        return {}

    def steps(self, bench: Bench) -> int:
        return 2

    def run(self, bench: Bench) -> Rounds:
        self.ran += 1
        try:
            for count, one in enumerate(rounds("ours", 1.0, 1.0)):
                if self.end and count == self.survive:
                    raise self.end
                yield one
        finally:
            self.closed.append(True)


def empty(path: Path) -> Record:
    return Record(path, {"kind": "scenarios"}, SIDES)


def test_resuming_skips_what_is_complete_and_repeats_the_rest(tmp_path: Path) -> None:
    first, second = Fake("first"), Fake("second", end=Interrupted(15), survive=1)
    tasks = [Task(one.name, one, BENCH) for one in (first, second)]
    path = tmp_path / "r.json"
    with pytest.raises(Interrupted):
        session.conduct(tasks, empty(path))
    kept = Record.load(path)
    assert kept.is_complete("first")
    assert not kept.is_complete("second")
    assert len(kept.rows["second"].rounds) == 1
    assert "incomplete" in text_table(kept)
    second.end = None
    session.conduct(tasks, kept)
    assert (first.ran, second.ran) == (1, 2)
    again = Record.load(path)
    assert again.is_complete("second")
    assert [one.number for one in again.rows["second"].rounds] == [1, 2]


def test_a_scenario_that_cannot_go_on_is_noted_and_the_next_one_runs(
    tmp_path: Path,
) -> None:
    broken, fine = Fake("broken", end=MeasureError("no server"), survive=1), Fake()
    kept = empty(tmp_path / "r.json")
    tasks = [Task(one.name, one, BENCH) for one in (broken, fine)]
    session.conduct(tasks, kept)
    assert Record.load(kept.path).problems == {"broken": "no server"}
    assert kept.is_complete("fake")
    assert session.exit_status(kept, is_strict=False) == 1
    broken.end = None
    session.conduct(tasks, kept)
    assert not kept.problems


def test_servers_are_let_go_when_a_round_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, kept = Fake(), empty(tmp_path / "r.json")

    def interrupt(text: str) -> None:
        raise Interrupted(2)

    monkeypatch.setattr(session, "say", interrupt)
    with pytest.raises(Interrupted) as caught:
        session.conduct([Task("fake", fake, BENCH)], kept)
    # While the exception, and so every frame that it passed, is still alive.
    assert caught.value.number == 2
    assert fake.closed == [True]


# Words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1234, "0.123"),
        (2.345, "2.35"),
        (-22.1, "-22.1"),
        (22807.0, "22,807"),
        (2_000_000, "2.0M"),
        (375_959_552, "376M"),
        (math.inf, "failed"),
        (math.nan, "-"),
        (None, "-"),
    ],
)
def test_figures_are_shown_with_the_digits_that_matter(
    value: float | None, text: str
) -> None:
    assert shown(value) == text


def test_what_colours_a_row_is_said() -> None:
    bound = replace(rounds("ours", 1.0)[0], load_share=0.95)
    late = replace(bound, side="peer", figures={"late_us": 30.0, "p99_us": 100.0})
    row = Row({"inflight": 4096}, (COST,), [bound, late, failed("peer")], complete=True)
    assert list(notes(row, ["ours", "peer"])) == [
        "generator-bound (ours)",
        "1 FAILED (peer)",
        "generator-bound (peer)",
        "generator late in 1 of 2 (peer)",
        "inflight 4,096 B",
    ]
    assert "GENERATOR-BOUND" in told_round(bound, (COST,))
    assert told_round(failed("peer"), (COST,)) == "FAILED: 1 message lost"


def test_the_table_has_a_line_for_each_measure(tmp_path: Path) -> None:
    kept = record(tmp_path / "r", *rounds("ours", 1.0, 1.2), *rounds("peer", 9.9))
    line = text_table(kept).splitlines()[2]
    for text in ("1:1", "1.100 (1.000-1.200)", "9.90", "9.00", "met, aim too"):
        assert text in line


# Comparing two runs


def test_a_comparison_tells_change_spread_and_drift(tmp_path: Path) -> None:
    before = record(tmp_path / "a", *rounds("ours", 1.0, 1.2), *rounds("peer", 4.0))
    after = record(tmp_path / "b", *rounds("ours", 1.5, 1.8), *rounds("peer", 5.0))
    (change,) = changes(before, after)
    assert change.percent == pytest.approx(50.0)
    assert change.drift == pytest.approx(25.0)
    assert change.is_apart
    (same,) = changes(before, before)
    assert not same.is_apart
    text = comparison(before, after)
    assert "+50.0 %" in text
    assert "within the spread" not in text
    assert "within the spread" in comparison(before, before)


def test_a_comparison_of_failed_or_strange_rows_says_nothing(tmp_path: Path) -> None:
    before = record(tmp_path / "a", failed("ours"))
    after = record(tmp_path / "b", *rounds("ours", 1.0))
    (change,) = changes(before, after)
    assert math.isnan(change.percent)
    assert math.isnan(change.drift)
    other = record(tmp_path / "c", *rounds("ours", 1.0), name="other")
    assert list(changes(before, other)) == []
    assert "nothing in common" in comparison(before, other)
