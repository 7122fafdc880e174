"""Plots of a run."""

from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.serving.contestants import OURS
from benchmarks.serving.measuring import CAPACITY
from benchmarks.serving.results import Run
from benchmarks.serving.summary import Spread, Summary, p99, rate

_OURS, _OTHERS = "tab:blue", "tab:gray"
_DPI = 90


def draw(run: Run, folder: Path) -> dict[str, Path]:
    """Draw the plots into a folder; return their files by title."""
    mpl.use("agg")
    found = {
        f"Requests a second and latency at {CAPACITY} connections": folder / "serving_bars.png",
        "Requests a second by number of connections": folder / "serving_connections.png",
    }
    bars, lines = found.values()
    _draw_bars(run, bars)
    _draw_lines(run, lines)
    return found


def _draw_bars(run: Run, path: Path) -> None:
    summary, load = Summary(run), str(CAPACITY)
    rates, slowest, titles, colors = [], [], [], []
    for each in reversed(run.contestants):
        speed, tail = (summary.load(each.name, load, figure) for figure in (rate, p99))
        if speed is None or tail is None:
            continue
        rates.append(speed)
        slowest.append(tail)
        titles.append(each.title)
        colors.append(_OURS if each.name == OURS else _OTHERS)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True)
    _bar(left, titles, rates, colors, "requests a second")
    _bar(right, titles, slowest, colors, "p99 in ms")
    figure.tight_layout()
    figure.savefig(path, dpi=_DPI)
    plt.close(figure)


def _bar(
    axes: Axes, titles: list[str], figures: list[Spread], colors: list[str], label: str
) -> None:
    medians = [each.median for each in figures]
    below = [each.median - each.low for each in figures]
    above = [each.high - each.median for each in figures]
    axes.barh(titles, medians, xerr=[below, above], color=colors, capsize=2)
    axes.set_xlabel(label)
    axes.margins(x=0.2)  # room for the figures
    for position, each in enumerate(figures):
        text = f"{each.median:,.0f}" if each.median >= 10 else f"{each.median:.1f}"  # noqa: PLR2004 - two digits
        end = (each.high, position)
        axes.annotate(text, end, xytext=(4, 0), textcoords="offset points", va="center")


def _draw_lines(run: Run, path: Path) -> None:
    summary = Summary(run)
    figure, axes = plt.subplots(figsize=(7, 4.2))
    for each in run.contestants:
        loads = {load for turn in summary.turns(each.name) for load in turn.loads}
        numbers = sorted(int(load) for load in loads if load.isdigit())
        rates = [summary.load(each.name, str(number), rate) for number in numbers]
        width = 3 if each.name == OURS else 1.2
        medians = [found.median for found in rates if found]
        axes.plot(numbers, medians, marker="o", linewidth=width, label=each.title)
    axes.set(xscale="log", yscale="log", xlabel="connections", ylabel="requests a second")
    axes.set_xticks([1, 8, 32, 64], labels=["1", "8", "32", "64"])
    axes.minorticks_off()
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    figure.savefig(path, dpi=_DPI)
    plt.close(figure)
