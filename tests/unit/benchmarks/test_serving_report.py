"""The report of the serving benchmark: medians, ratios, targets, tables."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.serving import contestants as names
from benchmarks.serving.measuring import BATCHES
from benchmarks.serving.plots import draw
from benchmarks.serving.report import BEGIN, DOCUMENT, END, replaced, report
from benchmarks.serving.results import (
    Described,
    Latencies,
    Ledger,
    Machine,
    Measured,
    Run,
    Turn,
)
from benchmarks.serving.summary import Summary


def _load(per_second: float, p99: float = 5.0, errors: int = 0, rows: int = 1) -> Measured:
    requests = int(per_second / rows) + errors
    latencies = Latencies(p50=p99 / 4, p99=p99)
    return Measured(
        requests=requests, seconds=1, errors=errors, latencies=latencies, cpu_seconds=2, rows=rows
    )


def _turn(name: str, number: int, per_second: float, **loads: Measured) -> Turn:
    singles = {"1": _load(per_second / 5, 2), "32": _load(per_second)}
    return Turn(contestant=name, round=number, first_answer_seconds=2, loads=singles | loads)


def _run(*turns: Turn, stored: int = 100) -> Run:
    titles = {names.OURS: "ours", names.CONSTANT: "the constant", names.MLSERVER: "MLServer"}
    ledger = Ledger(round=0, answered=100, cut_off=1, stored=stored, seconds=1, cpu_seconds=0.1)
    return Run(
        began=datetime(2026, 11, 27, tzinfo=UTC),
        quick=True,
        rounds=2,
        load_seconds=1,
        machine=Machine(
            processor="x", cores=2, memory_gib=4, kernel="k", python="3.11", load_before=0
        ),
        contestants=[
            Described(
                name=name,
                title=title,
                started="as usual",
                keeps="no",
                unavailable="no wheel" if name == names.MLSERVER else None,
            )
            for name, title in titles.items()
        ],
        turns=list(turns),
        ledgers=[ledger],
    )


GOOD = (
    _turn(names.OURS, 0, 9000, **{BATCHES: _load(120_000, rows=1000)}),
    _turn(names.CONSTANT, 0, 3000),
    _turn(names.CONSTANT, 1, 1000),
    _turn(names.OURS, 1, 4000, **{BATCHES: _load(130_000, rows=1000)}),
)


def test_ratio_is_taken_within_each_round() -> None:
    """A round on a slower machine changes both servers, so it does not change the ratio."""
    ratio = Summary(_run(*GOOD)).ratio(names.CONSTANT, "32")
    assert ratio is not None
    assert (ratio.median, ratio.low, ratio.high) == (3.5, 3, 4)


def test_targets_are_judged_by_medians() -> None:
    """Only what was measured is judged."""
    summary = Summary(_run(*GOOD))
    assert summary.missed == []
    assert {target.title for target in summary.targets} >= {
        "times Flask's constant",
        "first answer",
    }
    assert not any("MLServer" in target.title for target in summary.targets)


@pytest.mark.parametrize(
    ("run", "missed"),
    [
        (_run(*GOOD, stored=99), "ledger of round 1"),
        (_run(*GOOD, stored=102), "ledger of round 1"),
        (_run(_turn(names.OURS, 0, 9000, half=_load(10, errors=1))), "requests without an error"),
        (_run(*GOOD, Turn(contestant=names.OURS, round=2, failed="gone")), "round 3: gone"),
        (_run(_turn(names.OURS, 0, 5000), GOOD[1]), "times Flask's constant"),
    ],
)
def test_what_is_owed_is_missed(run: Run, missed: str) -> None:
    """Lost or unasked predictions, errors, failures and ratios below the target are named."""
    assert missed in Summary(run).missed


def test_report_shows_who_has_no_figures() -> None:
    """A peer that cannot be installed stays in the table, with the reason."""
    text = report(_run(*GOOD))
    assert "| MLServer: not installable: no wheel |" in text
    assert "3.50 x" in text
    assert "**6,500** (4,000 to 9,000)" in text


def test_run_survives_its_file(tmp_path: Path) -> None:
    """The report can be written again from the file of a run."""
    file = tmp_path / "run.json"
    file.write_text(_run(*GOOD).model_dump_json())
    assert report(Run.read(file)) == report(_run(*GOOD))


def test_plots_are_small_pictures(tmp_path: Path) -> None:
    """A run of any servers can be drawn."""
    for path in draw(_run(*GOOD), tmp_path).values():
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size < 100_000


def test_only_the_generated_section_changes() -> None:
    """The document has both marks, and keeps what stands around them."""
    text = DOCUMENT.read_text(encoding="utf-8")
    written = replaced(text, "new\n")
    assert f"{BEGIN}\nnew\n{END}" in written
    assert written.partition(BEGIN)[0] == text.partition(BEGIN)[0]
    assert written.partition(END)[2] == text.partition(END)[2]
    with pytest.raises(ValueError, match="lost its marks"):
        replaced("no marks", "new")
