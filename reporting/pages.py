"""Render the HTML pages: one per report, and the index of all reports."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlstack.errors import SettingsError
from mlstack.files import write_atomically
from mlstack.model.card_names import CARDS, card_name
from mlstack.quality.results import MIN_SLICE, explain_outcomes
from mlstack.web.page_templates import page_templates
from reporting.report import Report
from reporting.report_store import ReportStore

INDEX = "index.html"
_OWN_INDEX = b"<title>Reports"
LISTED = 200
"""Maximum number of reports in the index."""

_SPARKLINE_REPORTS = 40
_WIDTH, _HEIGHT, _MARGIN = 320.0, 48.0, 5.0

_templates = page_templates(Path(__file__).with_name("templates"))
_templates.globals |= {"explain_outcomes": explain_outcomes, "min_slice": MIN_SLICE}
_templates.globals |= {"card_name": card_name, "cards": CARDS}


@dataclass(frozen=True, slots=True)
class Point:
    """A report in a sparkline, in units of the SVG view box."""

    x: float
    y: float
    report: Report


@dataclass(frozen=True, slots=True)
class Sparkline:
    """The share of drifted features over the last reports."""

    points: Sequence[Point]
    width: float = _WIDTH
    height: float = _HEIGHT

    @property
    def path(self) -> str:
        """The `points` attribute of an SVG polyline."""
        return " ".join(f"{point.x:g},{point.y:g}" for point in self.points)


def sparkline(reports: Sequence[Report]) -> Sparkline:
    """Plot the share of drifted features from 0 (bottom) to 1 (top).

    `reports` are those of one contract, newest first, at least one.
    """
    shown = list(reversed(reports[:_SPARKLINE_REPORTS]))
    step = (_WIDTH - 2 * _MARGIN) / max(len(shown) - 1, 1)
    return Sparkline(
        [
            Point(
                # The newest report is always at the right edge.
                x=round(_WIDTH - _MARGIN - step * (len(shown) - 1 - place), 1),
                y=round(_HEIGHT - _MARGIN - report.share_drifted * (_HEIGHT - 2 * _MARGIN), 1),
                report=report,
            )
            for place, report in enumerate(shown)
        ]
    )


def index_page(reports: Sequence[Report], pages: Iterable[str], total: int) -> str:
    """Render the list of reports, newest first, with links to the existing pages.

    `total` is the number of stored reports.
    """
    return _templates.get_template("index.html").render(
        contracts=_by_contract(reports),
        sparkline=sparkline,
        pages=frozenset(pages),
        listed=len(reports),
        total=total,
    )


def report_page(report: Report, drawn: str, previous: Report | None = None) -> str:
    """Add a header with the verdict to `drawn`, the HTML that `drift_html` returned.

    It says what changed since the previous report of the contract, if there is one.
    """
    # Importing matplotlib takes a second, and the index does not need it.
    from reporting.change import change_chart, change_sentence  # noqa: PLC0415 - see above

    page_head, head_tag, rest = drawn.partition("<head>")
    before, body_tag, after = rest.partition("<body>")
    if not head_tag or not body_tag:
        raise RuntimeError("Evidently's page has changed: it has no plain <head> or <body>")
    template = _templates.get_template("report_head.html")
    header = template.render(
        report=report,
        change=change_sentence(report, previous),
        chart=change_chart(report, previous),
        has_previous=previous is not None,
    ).partition("<!-- body -->")
    return "".join((page_head, head_tag, header[0], before, body_tag, header[2], after))


def write_index(store: ReportStore, folder: Path) -> None:
    """Write `index.html` into the folder, which is created if missing.

    Raises:
        StorageUnavailable: MongoDB does not answer.
        SettingsError: the folder's `index.html` is another program's.
    """
    if (folder / INDEX).exists() and _OWN_INDEX not in (folder / INDEX).read_bytes():
        raise SettingsError(
            f"REPORTS_DIR={folder}: another program's {INDEX} is in it: choose a folder of its own"
        )
    pages = (path.name for path in folder.glob("*.html"))
    page = index_page(store.newest(LISTED), pages, store.count())
    write_atomically(folder / INDEX, page.encode())


def _by_contract(reports: Sequence[Report]) -> Mapping[str, Sequence[Report]]:
    """Group by contract; the newest report's contract comes first."""
    found: dict[str, list[Report]] = {}
    for report in reports:
        found.setdefault(report.contract.name, []).append(report)
    return found
