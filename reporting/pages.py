"""The pages that people read: one per report, and the index of all.

Usage: python -m reporting.pages > reporting/nginx/empty.html

That makes the index of no reports anew, which is shown until there is a first one.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mlstack.files import write_atomically
from reporting.report import Report
from reporting.report_store import ReportStore

INDEX = "index.html"
LISTED = 200
"""Reports that the index lists, the newest ones."""

_SPARKLINE_REPORTS = 40
_WIDTH, _HEIGHT, _MARGIN = 320.0, 48.0, 5.0

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Point:
    """A report in a sparkline, in units of the drawing."""

    x: float
    y: float
    report: Report


@dataclass(frozen=True, slots=True)
class Sparkline:
    """The share of drifted features over the last reports, as a drawing."""

    points: Sequence[Point]
    width: float = _WIDTH
    height: float = _HEIGHT

    @property
    def path(self) -> str:
        """The line, as a polyline's points."""
        return " ".join(f"{point.x:g},{point.y:g}" for point in self.points)


def sparkline(reports: Sequence[Report]) -> Sparkline:
    """Draws the share of drifted features, from 0 at the bottom to all of them at the top.

    Args:
        reports: Of one contract, newest first, at least one.
    """
    shown = list(reversed(reports[:_SPARKLINE_REPORTS]))
    step = (_WIDTH - 2 * _MARGIN) / max(len(shown) - 1, 1)
    return Sparkline(
        [
            Point(
                # A single one stands at the right, where the next ones come in.
                x=round(_WIDTH - _MARGIN - step * (len(shown) - 1 - place), 1),
                y=round(_HEIGHT - _MARGIN - report.share_drifted * (_HEIGHT - 2 * _MARGIN), 1),
                report=report,
            )
            for place, report in enumerate(shown)
        ]
    )


def index_page(reports: Sequence[Report], pages: Iterable[str], total: int) -> str:
    """The list of reports.

    Args:
        reports: Newest first.
        pages: File names of the pages that are there; others are not linked.
        total: How many reports are kept in all.
    """
    return _templates.get_template("index.html").render(
        contracts=_by_contract(reports),
        sparkline=sparkline,
        pages=frozenset(pages),
        listed=len(reports),
        total=total,
    )


def report_page(report: Report, drawn: str) -> str:
    """Evidently's page under a head of ours with the verdict.

    Args:
        report: What the head says.
        drawn: As `drift_html` gives it.
    """
    page_head, head_tag, rest = drawn.partition("<head>")
    before, body_tag, after = rest.partition("<body>")
    if not head_tag or not body_tag:
        raise RuntimeError("Evidently's page has changed: it has no <head> or <body> as before")
    template = _templates.get_template("report_head.html")
    ours = template.render(report=report).partition("<!-- body -->")
    return "".join((page_head, head_tag, ours[0], before, body_tag, ours[2], after))


def write_index(store: ReportStore, folder: Path) -> None:
    """Lists the newest reports in `index.html`.

    Args:
        store: What reports there are.
        folder: The reports' folder, made when it is not there.

    Raises:
        StorageUnavailable: MongoDB does not answer.
    """
    pages = (path.name for path in folder.glob("*.html"))
    page = index_page(store.newest(LISTED), pages, store.count())
    write_atomically(folder / INDEX, page.encode())


def _by_contract(reports: Sequence[Report]) -> Mapping[str, Sequence[Report]]:
    """Those of the contract that was reported on last come first."""
    names = list(dict.fromkeys(report.contract.name for report in reports))
    ordered = sorted(reports, key=lambda report: names.index(report.contract.name))
    return {name: list(group) for name, group in groupby(ordered, lambda r: r.contract.name)}


if __name__ == "__main__":
    sys.stdout.write(index_page([], [], 0))
