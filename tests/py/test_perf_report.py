"""The report of small, made-up results: its text, its plots, its errors."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

# Behind everything else, so that the package under test is not the folder beside it.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from perf import plots, report
from perf.curves import CONNECTIONS, FAN_OUTS, SHARES, SIZES
from perf.goals import Goal, Kind, Measure
from perf.processes import MeasureError
from perf.record import Measured, Record
from perf.report_text import markdown

SIDES = {
    "ours": {"version": "0.1", "command": "{python} -m pynatsd"},
    "nats-server 2": {"version": "2", "command": "nats-server"},
}
PLACES: dict[str, tuple[int, ...]] = {
    "size": SIZES,
    "fan-out": FAN_OUTS,
    "latency": SHARES,
    "memory": CONNECTIONS,
    "threads": (1, 2),
}
SVG_MOST = 100 * 1024  # bytes

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed"
)


def head(kind: str) -> dict[str, Any]:
    machine = {"cpu": "A|B", "cpu_count": 2, "kernel": "6", "python": "3.11"}
    return {
        "kind": kind,
        "started": "2026-01-01",
        "revision": "abc",
        "machine": machine,
        "arguments": ["--rounds", "2"],
        "rounds": 2,
        "placement": "pinned",
        "caveats": ["resumed at noon"],
    }


@pytest.fixture
def run(tmp_path: Path) -> Record:
    """Three scenarios: one met, one missed with a failed round, one limit missed."""
    kept = Record(tmp_path / "run.json", head("scenarios"), SIDES)
    cost = Measure("cpu_us", "CPU us/msg", Goal(Kind.TIMES, 2.0, 4.0))
    for name, ours in (("good", 0.25), ("bad", 0.75)):
        kept.begin(name, {}, (cost,))
        for number in (1, 2):
            figures = {"cpu_us": ours, "rate": 5000.0}
            kept.add(name, Measured("ours", number, figures, 0.95))
            figures = {"cpu_us": 1.0, "rate": 1000.0}
            kept.add(name, Measured("nats-server 2", number, figures))
        kept.finish(name)
    kept.add("bad", Measured("ours", 3, errors=("2 messages lost",)))
    kept.begin("weight", {}, (Measure("rss", "B", Goal(Kind.MOST, 100)),))
    kept.add("weight", Measured("ours", 1, {"rss": 150.0}))
    kept.problems["weight"] = "the server has ended"
    kept.write()
    return kept


@pytest.fixture
def sweep(tmp_path: Path) -> Record:
    """Every curve in three rounds, and one failed round."""
    kept = Record(tmp_path / "sweep.json", head("curves"), SIDES)
    keys = ("rate", "cpu_us", "offered", "p50_us", "p99_us", "p999_us", "rss")
    for name, places in PLACES.items():
        kept.begin(name, {}, tuple(Measure(key, key) for key in keys))
        for at in places:
            for number in (1, 2, 3):
                for factor, side in enumerate(SIDES, 1):
                    value = factor * (at + 1.0) * (1 + number / 10)
                    one = Measured(side, number, dict.fromkeys(keys, value), at=at)
                    kept.rows[name].rounds.append(one)
        kept.finish(name)
    kept.add("size", Measured("ours", 4, errors=("cut",), at=16))
    return kept


def test_the_report_shows_goals_caveats_and_failures(run: Record) -> None:
    text = markdown(run, None, [])
    for expected in (
        "1 met, of them 1 with their aim; 2 missed.",
        "- **bad** (CPU us/msg): 1.333 times less, goal 2",
        "- **weight** (B): 150 (150-150), goal <=100",
        "| good | CPU us/msg | 0.250 (0.250-0.250) | 1.000 (1.000-1.000) | 4.00 | 2 |",
        "| 4.00 | 2 | 4 | met, aim too | 5,000 / 1,000 | 95% |",
        "**MISSED**",
        "- scenarios, good: generator-bound (ours)",
        "- scenarios, weight: incomplete",
        "- scenarios, weight: the server has ended",
        "- scenarios: resumed at noon",
        "- bad, ours, round 3: 2 messages lost",
        "A\\|B, 2 CPUs",
        "revision `abc`",
    ):
        assert expected in text


def test_the_report_of_a_sweep_has_its_tables_and_plots(sweep: Record) -> None:
    text = markdown(None, sweep, [Path("x/size.svg")])
    assert "![size](size.svg)" in text
    assert "### fan-out" in text
    assert "- size at 16, ours, round 4: cut" in text
    assert "## Goals" not in text


def test_a_line_leaves_failures_out_and_is_scaled(sweep: Record) -> None:
    panel = plots.Panel("", "rate", "", scale=2.0)
    line = plots.line_of(sweep.rows["size"], "ours", panel)
    assert line.x == list(SIZES[1:])
    assert line.middle[0] == pytest.approx(2 * 65 * 1.2)
    assert (line.low[0], line.high[0]) == pytest.approx((2 * 65 * 1.1, 2 * 65 * 1.3))


def test_a_line_may_lie_over_another_figure(sweep: Record) -> None:
    panel = plots.Panel("", "p99_us", "", over="offered")
    line = plots.line_of(sweep.rows["latency"], "ours", panel)
    assert line.x[0] == pytest.approx(11 * 1.2)


def test_two_files_of_a_kind_are_refused(run: Record) -> None:
    with pytest.raises(MeasureError):
        report.sorted_out([run.path, run.path])


def test_a_missing_matplotlib_is_one_line(
    run: Record, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    out = run.path.parent / "out"
    assert report.main([str(run.path), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "pip install 'pynatsd[perf]'" in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_comparing_needs_no_matplotlib(
    run: Record, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert report.main(["--compare", str(run.path), str(run.path)]) == 0
    assert "good" in capsys.readouterr().out


@needs_matplotlib
def test_the_plots_are_small_and_the_report_names_them(
    run: Record, sweep: Record
) -> None:
    out = run.path.parent / "out"
    assert report.main([str(run.path), str(sweep.path), "--out", str(out)]) == 0
    found = {path.stem: path for path in out.glob("*.svg")}
    assert set(found) == {"goals", *PLACES}
    text = (out / "report.md").read_text()
    for name, path in found.items():
        assert path.stat().st_size < SVG_MOST
        assert f"![{name}]({path.name})" in text
        assert "nats-server 2" in path.read_text()
