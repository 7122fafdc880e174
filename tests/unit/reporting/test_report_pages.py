"""The pages of the report browser, as text."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mlstack.model.card_names import CARDS, card_name
from mlstack.quality.results import BinaryQuality, SliceFigures
from mlstack.settings import ROOT
from reporting.pages import index_page, report_page, sparkline
from reporting.report import Baseline, Report, Window, report_name
from tests.support.reports import NOON, RUN_ID, drift, report

EMPTY = ROOT / "reporting" / "nginx" / "empty.html"
EVIDENTLY = "<html><head><style></style></head><body><div>drawn</div></body></html>"


def _rows(page: str) -> list[str]:
    return re.findall(r'<td role="cell" data-label="Report">(.*?)</td>', page, re.DOTALL)


def test_index_links_reports_in_order() -> None:
    """Reports keep the given order, and link to their pages."""
    reports = [report(3), report(0)]
    page = index_page(reports, [each.html for each in reports], total=2)
    assert [re.findall(r'href="([^"]+)"', row) for row in _rows(page)] == [
        ["20261125T150000Z-some_customers.html"],
        ["20261125T120000Z-some_customers.html"],
    ]


def test_index_describes_each_report() -> None:
    """It has verdict, window, number of predictions, drifted features and run."""
    page = index_page([report(0, ("age", "limit"))], [], total=1)
    for text in ("Drift", "2026-11-25 09:00 to 12:00", "1,234", "age, limit", RUN_ID):
        assert text in page
    assert "against the training data" in page


def test_index_does_not_link_a_removed_page() -> None:
    """A report without a page is listed and says so."""
    page = index_page([report()], ["another.html"], total=1)
    assert "page removed" in page
    assert "<a " not in page


def test_index_names_drifted_predictions() -> None:
    """They are listed below the features."""
    moved = report(verdict="drift", prediction=drift("prediction", drifted=True))
    page = index_page([moved], [], total=1)
    assert "no feature<br>the predictions" in page


def test_feature_names_are_escaped() -> None:
    """A name is text, never markup."""
    odd = report(0, ("<b>odd</b>",))
    for page in (index_page([odd], [], total=1), report_page(odd, EVIDENTLY)):
        assert "&lt;b&gt;odd&lt;/b&gt;" in page
        assert "<b>" not in page


def test_index_groups_by_contract() -> None:
    """Each contract has a list; the one with the newest report comes first."""
    reports = [report(3, contract="new"), report(2, contract="old"), report(1, contract="new")]
    page = index_page(reports, [], total=3)
    assert re.findall(r"<h2 [^>]*>(.*?)</h2>", page) == ["New", "Old"]
    assert len(_rows(page)) == 3


def test_index_counts_reports_it_does_not_list() -> None:
    """It says how many there are only when some are not listed."""
    assert "newest 1 of 5,000 reports" in index_page([report()], [], total=5000)
    assert "newest" not in index_page([report()], [], total=1).split("</main>")[1]


@pytest.mark.parametrize("page", [EMPTY.read_text(encoding="utf-8"), index_page([], [], 0)])
def test_index_without_reports_says_what_to_do(page: str) -> None:
    """Nginx's page until the first report, and the index without reports, load nothing."""
    assert "There is no report yet" in page
    assert "<code>make report</code>" in page
    assert re.findall(r'(?:src|href)="([^"]*)"', page) == ["data:,"]


def test_index_loads_nothing() -> None:
    """No address but those of reports, and no style from elsewhere."""
    page = index_page([report(3, ("age",)), report()], [report().html], total=2)
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == {"data:,", report().html}
    assert "url(" not in page
    assert "@import" not in page


def test_sparkline_rises_with_drift() -> None:
    """Reports go from the oldest to the newest, and up with the share of drifted features."""
    line = sparkline([report(2, ("age", "limit", "<b>odd</b>")), report(1, ("age",)), report(0)])
    xs, ys = [p.x for p in line.points], [p.y for p in line.points]
    assert xs == sorted(xs)
    assert ys == sorted(ys, reverse=True)
    assert all(0 <= x <= line.width for x in xs)
    assert all(0 <= y <= line.height for y in ys)
    assert line.path == " ".join(f"{x:g},{y:g}" for x, y in zip(xs, ys, strict=True))


def test_sparkline_of_one_report_is_its_last_point() -> None:
    """A single report is drawn at the right end."""
    (point,) = sparkline([report()]).points
    assert point.x > sparkline([report()]).width / 2


def test_sparkline_has_a_text_alternative() -> None:
    """Screen readers get the figures."""
    page = index_page([report(1, ("age",)), report()], [], total=2)
    assert 'aria-label="Share of drifted features, oldest report first: 0 %, 33 %"' in page


def test_report_page_starts_with_the_verdict() -> None:
    """The header with the verdict is above Evidently's content."""
    page = report_page(report(0, ("age",)), EVIDENTLY)
    assert page.index("Drift</span>") < page.index("drawn")
    assert "<title>Drift: some_customers, 2026-11-25 09:00 to 12:00 UTC</title>" in page
    assert "age (1 of 3 features)" in page
    assert "no outcome is known yet" in page
    assert "estimate from the chances alone: rmse 0.300" in page


def test_report_page_gives_the_share_of_known_outcomes() -> None:
    """Measured figures come with their coverage; a figure that is None is left out."""
    known = BinaryQuality(rmse=0.35, logloss=0.41, auc=None, calibration_error=0.03, coverage=0.25)
    page = report_page(report(quality=known, n_outcomes=308), EVIDENTLY)
    figures = "rmse 0.350, logloss 0.410, calibration error 0.030"
    assert f"{figures}, on the 308 predictions (25 %) whose outcome is known" in page


def test_report_page_shows_no_figure_of_too_few_outcomes() -> None:
    """It gives their number, for the window and for the one before."""
    page = report_page(report(n_outcomes=1, baseline_quality=None), EVIDENTLY)
    assert "too few outcomes (1); figures need 200<br>estimate" in page
    before = report().compared_with.model_copy(
        update={"kind": "window before", "window": report().window, "n_outcomes": 7}
    )
    known = BinaryQuality(rmse=0.35, logloss=0.41, auc=0.8, calibration_error=0.03, coverage=0.25)
    page = report_page(
        report(quality=known, n_outcomes=308, compared_with=before, baseline_quality=None),
        EVIDENTLY,
    )
    assert "before: too few outcomes (7)" in page


def test_report_of_an_earlier_version_is_read() -> None:
    """Its document lacks the numbers of outcomes."""
    document = report().model_dump()
    del document["n_outcomes"], document["compared_with"]["n_outcomes"]
    assert Report.model_validate(document).n_outcomes is None


def _slice(label: str, customers: int, **changes: Any) -> SliceFigures:
    made = SliceFigures(
        feature="region",
        label=label,
        customers=customers,
        share=customers / 1234,
        reference_share=0.4,
        outcomes=0,
        mean=0.123,
        reference_mean=0.2,
        quality=None,
        estimated=report().estimated_quality,
    )
    return replace(made, **changes)


def test_report_page_shows_slices_with_enough_customers() -> None:
    """Each with its number of customers; of smaller ones the number is all."""
    known = BinaryQuality(rmse=0.35, logloss=0.41, auc=0.8, calibration_error=0.03, coverage=0.25)
    slices = (
        _slice("north", 617),
        _slice("<south>", 500, quality=known, outcomes=208),
        _slice("west", 117, mean=None, estimated=None),
    )
    page = report_page(report(slices=slices), EVIDENTLY)
    north, south = re.findall(r"<th role=\"rowheader\" scope=\"row\">region .*?</tr>", page)
    for text in (
        "617",
        "50.0 % (40.0 %)",
        "0.123 (0.2)",
        "no outcome is known yet; estimate: rmse",
    ):
        assert text in north
    assert "&lt;south&gt;" in south
    assert "rmse 0.350, logloss 0.410, AUC 0.800, calibration error 0.030 (208 outcomes)" in south
    assert "fewer than 200 customers, too few for figures: region west (117)" in page
    assert "Slices" not in report_page(report(), EVIDENTLY)


def test_report_with_slices_is_read_as_it_was_stored() -> None:
    """A report of an earlier version has none."""
    stored = report(slices=(_slice("north", 617),))
    assert Report.model_validate(stored.model_dump()) == stored
    document = stored.model_dump()
    del document["slices"]
    assert Report.model_validate(document).slices == ()


def test_index_links_model_cards() -> None:
    """The list of cards, and at each report the card of its model; only if they exist."""
    pages = [CARDS, card_name(RUN_ID)]
    linked = re.findall(r'<a href="([^"]+)"', index_page([report()], pages, total=1))
    assert linked == [CARDS, card_name(RUN_ID)]
    assert "<a " not in index_page([report()], [], total=1)


def test_unexpected_evidently_page_is_a_defect() -> None:
    """A page without plain <head> and <body> is refused."""
    with pytest.raises(RuntimeError, match="has changed"):
        report_page(report(), "<html><body class='new'></body></html>")


def test_report_names_sort_by_time() -> None:
    """They need no quoting in file names and addresses."""
    earlier, later = report_name(NOON, "z"), report_name(NOON.replace(second=1), "a")
    assert earlier < later
    assert re.fullmatch(r"[\w-]+", earlier)


def test_page_says_how_exact_a_sample_is() -> None:
    """On both sides; of a window that was compared whole there is nothing to say."""
    whole = report_page(report(), EVIDENTLY)
    assert "1,234 predictions</dd>" in whole
    assert "4,248 rows</dd>" in whole
    assert "sample" not in whole
    before = Baseline(
        kind="window before",
        rows=100_000,
        n_predictions=400_000,
        share_error=0.00268,
        window=Window(start=NOON - timedelta(hours=6), end=NOON - timedelta(hours=3)),
    )
    some = report(
        n_predictions=1_000_000, n_compared=100_000, share_error=0.0049, compared_with=before
    )
    page = report_page(some, EVIDENTLY)
    exact = "shares are exact to ±{} percentage points (95 % confidence)</dd>"
    assert f"a sample of 100,000 of about 1,000,000 predictions; {exact.format(0.49)}" in page
    assert f"a sample of 100,000 of about 400,000 rows; {exact.format(0.27)}" in page
