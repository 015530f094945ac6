"""The plots of the curves, and what all plots have in common."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf.processes import MeasureError
from perf.record import Record, Row
from perf.table import shown

# Okabe and Ito's, which the colour-blind can tell apart; and shapes beside them.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "os^Dv*"
NAME = "pynatsd"  # of ours
GREY = "#555555"
WIDTH = 9.0  # inches
STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "pynatsd",  # the same file for the same figures
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
}


@dataclass(frozen=True, slots=True)
class Panel:
    """One axis system: a measure over the places of a curve, or over another one."""

    title: str
    key: str
    y_label: str
    over: str = ""  # a key whose median is the place instead
    scale: float = 1.0  # of the measure
    log_y: bool = False


@dataclass(frozen=True, slots=True)
class Plot:
    """The figure of one curve."""

    curve: str
    title: str
    x_label: str
    panels: tuple[Panel, ...]
    x_scale: str = "linear"  # or log2, log10
    x_text: Callable[[float], str] = shown


def bytes_text(value: float) -> str:
    """
    65536 -> 64 KiB
    """
    return f"{value / 1024:g} KiB" if value >= 1024 else f"{value:g} B"


def count_text(value: float) -> str:
    """
    20000 -> 20k
    """
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _load_panels(unit: str) -> tuple[Panel, ...]:
    return (
        Panel("Throughput", "rate", f"{unit} per second", log_y=True),
        Panel("CPU of the server", "cpu_us", "µs per message", log_y=True),
    )


PLOTS = (
    Plot(
        "size",
        "One publisher, one subscriber: payload size",
        "payload",
        _load_panels("messages"),
        "log2",
        bytes_text,
    ),
    Plot(
        "fan-out",
        "One publisher, N subscribers, 128 B: fan-out",
        "subscribers",
        _load_panels("deliveries"),
        "log10",
        count_text,
    ),
    Plot(
        "latency",
        "Request and reply at a fixed rate, 10 % to 95 % of each server's highest",
        "requests per second",
        tuple(
            Panel(title, key, "latency, µs", over="offered", log_y=True)
            for title, key in (
                ("Median", "p50_us"),
                ("99 %", "p99_us"),
                ("99.9 %", "p999_us"),
            )
        ),
        "linear",
        count_text,
    ),
    Plot(
        "memory",
        "Idle connections with one subscription each: resident memory",
        "connections",
        (Panel("Resident memory of the process", "rss", "MB", scale=1e-6),),
        "linear",
        count_text,
    ),
    Plot(
        "threads",
        "Eight pairs, 128 B, not pinned: threads of the server",
        "threads",
        (
            Panel("Throughput", "rate", "million messages per second", scale=1e-6),
            Panel("CPU of the server", "cpu_us", "µs per message"),
        ),
        "linear",
        count_text,
    ),
)


def require() -> Any:
    """
    Return matplotlib.

    Raises:
        MeasureError: it is not installed.
    """
    try:
        found = importlib.import_module("matplotlib")
        importlib.import_module("matplotlib.figure")
        importlib.import_module("matplotlib.ticker")
    except ImportError as error:
        raise MeasureError(
            f"{error}; plots need: pip install 'pynatsd[perf]'"
        ) from error
    return found


@dataclass(frozen=True, slots=True)
class Line:
    """A measure of one side: places, medians, minima and maxima; failures left out."""

    x: list[float]
    middle: list[float]
    low: list[float]
    high: list[float]


def line_of(row: Row, side: str, panel: Panel) -> Line:
    """Return what a panel shows of a side."""
    line = Line([], [], [], [])
    for at in row.places():
        spread = row.spread(side, panel.key, at)
        place = row.spread(side, panel.over, at) if panel.over else None
        if spread is None or not math.isfinite(spread.high) or not spread.low:
            continue
        line.x.append(place.middle if place else at)
        line.middle.append(spread.middle * panel.scale)
        line.low.append(spread.low * panel.scale)
        line.high.append(spread.high * panel.scale)
    return line


def draw_curve(plot: Plot, record: Record, path: Path) -> None:
    """Write the figure of one curve; the band of a line is its minimum to maximum."""
    matplotlib = require()
    row = record.rows[plot.curve]
    with matplotlib.rc_context(STYLE):
        figure = matplotlib.figure.Figure(figsize=(WIDTH, 3.9), layout="constrained")
        is_shared = len({panel.y_label for panel in plot.panels}) == 1
        axes = figure.subplots(1, len(plot.panels), squeeze=False, sharey=is_shared)[0]
        for axis, panel in zip(axes, plot.panels, strict=True):
            for index, side in enumerate(record.names):
                label = side if index else NAME
                _draw_line(axis, line_of(row, side, panel), index, label)
            _dress(matplotlib, axis, plot, panel)
            _ticks_at(matplotlib, axis, plot, row)
            if is_shared:
                axis.label_outer()
        finish(figure, axes[0], plot.title, path)


def _draw_line(axis: Any, line: Line, index: int, side: str) -> None:
    colour = COLOURS[index % len(COLOURS)]
    marker = MARKERS[index % len(MARKERS)]
    axis.plot(line.x, line.middle, color=colour, marker=marker, label=side)
    axis.fill_between(line.x, line.low, line.high, color=colour, alpha=0.2, linewidth=0)


def _dress(matplotlib: Any, axis: Any, plot: Plot, panel: Panel) -> None:
    axis.set_title(panel.title)
    axis.set_xlabel(plot.x_label)
    axis.set_ylabel(panel.y_label)
    if plot.x_scale != "linear":
        axis.set_xscale("log", base=int(plot.x_scale.removeprefix("log")))
    if panel.log_y:
        axis.set_yscale("log")
        _label_decades(matplotlib, axis)
    else:
        axis.set_ylim(bottom=0)
    axis.xaxis.set_major_formatter(formatter(matplotlib, plot.x_text))


def _label_decades(matplotlib: Any, axis: Any) -> None:
    """Label the powers of ten, and also 2 and 5 where there are few of those."""
    low, high = axis.get_ylim()
    subs = (1, 2, 5) if high / low < 300 else (1,)
    axis.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=subs))
    axis.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axis.yaxis.set_major_formatter(formatter(matplotlib, short_number))


def _ticks_at(matplotlib: Any, axis: Any, plot: Plot, row: Row) -> None:
    """Where the places of a curve are few and known, they are the ticks."""
    if plot.panels[0].over:
        axis.set_xlim(left=0)
        axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
        return
    axis.set_xticks(row.places())
    axis.minorticks_off()
    if plot.x_scale == "log2":
        axis.tick_params(axis="x", rotation=45)


def formatter(matplotlib: Any, text: Callable[[float], str]) -> Any:
    return matplotlib.ticker.FuncFormatter(lambda value, _: text(value))


def short_number(value: float) -> str:
    """
    2000000 -> 2M
    """
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def finish(figure: Any, axis: Any, title: str, path: Path) -> None:
    figure.suptitle(title, fontsize=12, fontweight="bold")
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    metadata = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(path, dpi=100, metadata=metadata)
