"""Write the figures of a run into docs/performance.md, with their plots.

Usage: python -m benchmarks.serving.report RESULT.json
"""

import sys
from pathlib import Path

from benchmarks.serving.measuring import BATCHES, BESIDE, CAPACITY, HALF
from benchmarks.serving.plots import draw
from benchmarks.serving.results import Run
from benchmarks.serving.summary import Spread, Summary, p50, p99, rate
from mlstack.files import write_atomically
from mlstack.settings import ROOT

DOCUMENT = ROOT / "docs" / "performance.md"
BEGIN = "<!-- written by python -m benchmarks.serving.report -->"
END = "<!-- end of what is written -->"

_IMAGES = ROOT / "docs" / "images"
_NONE = "-"
_MIDDLE, _SMALL = 100, 10
_CAPACITY = str(CAPACITY)


def main() -> None:
    """Rewrite the generated part of the document."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the module and the file
        sys.exit("usage: python -m benchmarks.serving.report RESULT.json")
    run = Run.read(Path(sys.argv[1]))
    images = draw(run, _IMAGES)
    pictures = "\n".join(f"![{title}](images/{path.name})" for title, path in images.items())
    text = DOCUMENT.read_text(encoding="utf-8")
    written = replaced(text, f"{report(run)}\n{pictures}\n")
    write_atomically(DOCUMENT, written.encode())


def replaced(text: str, section: str) -> str:
    """Return a document with another text between the two marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT.name} has lost its marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{section}{END}{after}"


def report(run: Run) -> str:
    """Describe a run in Markdown: where and when, tables, targets, ledger."""
    parts = [_where(run), _main_table(run), _connections(run), _others(run), _targets(run)]
    return "\n".join([*parts, _ledger(run)])


def _where(run: Run) -> str:
    machine, kind = run.machine, "Quick run" if run.quick else "Run"
    return (
        f"{kind} of {run.began:%Y-%m-%d %H:%M} UTC: {machine.processor}, {machine.cores} cores, "
        f"{machine.memory_gib:.0f} GiB, {machine.kernel}, Python {machine.python}; load "
        f"{machine.load_before:.1f} at its start; {run.rounds} rounds, {run.load_seconds:g} s for "
        "each load. Medians over the rounds, lowest and highest in brackets.\n"
    )


def _main_table(run: Run) -> str:
    found = Summary(run)
    header = [
        *(f"{CAPACITY} connections", "kept", "requests/s", "ours is", "p50 ms", "p99 ms"),
        *("CPU s for 1,000", "memory MiB", "first answer s", "errors"),
    ]
    rows = []
    for each in run.contestants:
        name = each.name
        rates = found.load(name, _CAPACITY, rate)
        if rates is None:
            rows.append([f"{each.title}: {_why_not(run, name)}", *[_NONE] * (len(header) - 1)])
            continue
        ratio = found.ratio(name, _CAPACITY)
        rows.append(
            [
                f"{each.title}<br>{each.started}",
                each.keeps,
                f"**{_number(rates.median)}** ({_number(rates.low)} to {_number(rates.high)})",
                f"{ratio.median:.2f} x" if ratio else _NONE,
                _cell(found.load(name, _CAPACITY, p50)),
                _cell(found.load(name, _CAPACITY, p99)),
                _cell(found.load(name, _CAPACITY, lambda load: load.cpu_per_thousand)),
                _cell(found.over_rounds(name, lambda turn: turn.pss_mib)),
                _cell(found.over_rounds(name, lambda turn: turn.first_answer_seconds)),
                f"{found.errors(name):,}",
            ]
        )
    return _table(header, rows)


def _connections(run: Run) -> str:
    """Requests a second and latencies by number of connections."""
    found = Summary(run)
    numbers = sorted({load for turn in run.turns for load in turn.loads if load.isdigit()}, key=int)
    rows = []
    for each in run.contestants:
        cells = []
        for number in numbers:
            rates, fast, slow = (found.load(each.name, number, f) for f in (rate, p50, p99))
            cells.append(f"{_cell(rates)}; {_cell(fast)} / {_cell(slow)}" if rates else _NONE)
        rows.append([each.title, *cells])
    header = [f"{number} connection{'s' if number != '1' else ''}" for number in numbers]
    return _table(["requests/s; p50 / p99 in ms", *header], rows)


def _others(run: Run) -> str:
    """Half of the capacity, and batches."""
    found = Summary(run)
    rows = []
    for each in run.contestants:
        row = [each.title]
        for load, figures in (
            (HALF, (rate, p50, p99)),
            (BATCHES, (rate, p50, p99)),
            (BESIDE, (p99,)),
        ):
            row += [_cell(found.load(each.name, load, figure)) for figure in figures]
        rows.append(row)
    header = [
        *("", "half of capacity, requests/s", "p50 ms", "p99 ms"),
        *("batches of 1,000, rows/s", "p50 ms", "p99 ms", "single requests beside them, p99 ms"),
    ]
    return _table(header, rows)


def _targets(run: Run) -> str:
    rows = []
    for target in Summary(run).targets:
        bound = "at most" if target.at_most else "at least"
        rows.append(
            [
                target.title,
                f"{bound} {_number(target.wanted)}{target.unit}",
                f"{_number(target.measured)}{target.unit}",
                "met" if target.met else "**missed**",
            ]
        )
    return _table(["target of our server", "wanted", "measured", ""], rows)


def _ledger(run: Run) -> str:
    lines = []
    for each in run.ledgers:
        verdict = "the ledger agrees" if each.agrees else "**THE LEDGER DOES NOT AGREE**"
        lines.append(
            f"- Round {each.round + 1}: {each.answered:,} customers answered, {each.stored:,} "
            f"predictions stored; at most {each.cut_off:,} more were under way when a load ended: "
            f"{verdict}. The keeper stored {each.stored / each.seconds:,.0f} a second and "
            f"needed, with MongoDB's stand-in, "
            f"{each.cpu_seconds * 1000 / max(1, each.stored):.2f} CPU seconds for 1,000."
        )
    return "\n".join([*lines, ""])


def _why_not(run: Run, name: str) -> str:
    described = next(each for each in run.contestants if each.name == name)
    if described.unavailable:
        return f"not installable: {described.unavailable}"
    failed = [turn.failed for turn in run.turns if turn.contestant == name and turn.failed]
    return f"not measured: {failed[0] if failed else 'no turn'}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + [""])


def _cell(spread: Spread | None) -> str:
    return _number(spread.median) if spread else _NONE


def _number(value: float) -> str:
    digits = 0 if value >= _MIDDLE else 1 if value >= _SMALL else 2
    return f"{value:,.{digits}f}"


if __name__ == "__main__":
    main()
