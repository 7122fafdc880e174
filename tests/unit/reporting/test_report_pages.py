"""The pages of the report browser, as text; in a browser: test_report_pages_in_browser.py."""

import re

import pytest

from mlstack.quality.results import Quality
from mlstack.settings import ROOT
from reporting.pages import index_page, report_page, sparkline
from reporting.report import report_name
from support.reports import NOON, RUN_ID, drift, report

EVIDENTLY = "<html><head><style></style></head><body><div>drawn</div></body></html>"


def _rows(page: str) -> list[str]:
    return re.findall(r'<td role="cell" data-label="Report">(.*?)</td>', page, re.DOTALL)


def test_reports_stand_in_the_order_given_and_link_to_their_pages() -> None:
    reports = [report(3), report(0)]
    page = index_page(reports, [each.html for each in reports], total=2)
    assert [re.findall(r'href="([^"]+)"', row) for row in _rows(page)] == [
        ["20261125T150000Z-some_customers.html"],
        ["20261125T120000Z-some_customers.html"],
    ]


def test_a_report_says_verdict_window_predictions_features_and_model() -> None:
    page = index_page([report(0, ("age", "limit"))], [], total=1)
    for text in ("Drift", "2026-11-25 09:00 to 12:00", "1,234", "age, limit", RUN_ID):
        assert text in page
    assert "against the training data" in page


def test_a_report_whose_page_was_removed_is_listed_without_a_link() -> None:
    page = index_page([report()], ["another.html"], total=1)
    assert "page removed" in page
    assert "<a " not in page


def test_drifted_predictions_are_named_beside_the_features() -> None:
    moved = report(verdict="drift", prediction=drift("prediction", drifted=True))
    page = index_page([moved], [], total=1)
    assert "no feature<br>the predictions" in page


def test_names_of_features_are_text_and_never_markup() -> None:
    odd = report(0, ("<b>odd</b>",))
    for page in (index_page([odd], [], total=1), report_page(odd, EVIDENTLY)):
        assert "&lt;b&gt;odd&lt;/b&gt;" in page
        assert "<b>" not in page


def test_each_contract_has_its_own_list_the_last_one_first() -> None:
    reports = [report(3, contract="new"), report(2, contract="old"), report(1, contract="new")]
    page = index_page(reports, [], total=3)
    assert re.findall(r"<h2 [^>]*>(.*?)</h2>", page) == ["New", "Old"]
    assert len(_rows(page)) == 3


def test_what_is_not_listed_any_more_is_told_of() -> None:
    assert "newest 1 of 5,000 reports" in index_page([report()], [], total=5000)
    assert "newest" not in index_page([report()], [], total=1).split("</main>")[1]


def test_the_empty_index_that_is_shown_at_first_is_the_one_of_today_s_template() -> None:
    """Made anew by `python -m reporting.pages > reporting/nginx/empty.html`."""
    empty = (ROOT / "reporting" / "nginx" / "empty.html").read_text(encoding="utf-8")
    assert empty == index_page([], [], 0)
    assert "There is no report yet" in empty


def test_pages_of_ours_load_nothing() -> None:
    page = index_page([report(3, ("age",)), report()], [report().html], total=2)
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == {"data:,", report().html}
    assert "url(" not in page
    assert "@import" not in page


def test_the_sparkline_goes_from_the_oldest_to_the_newest_and_up_with_drift() -> None:
    line = sparkline([report(2, ("age", "limit", "<b>odd</b>")), report(1, ("age",)), report(0)])
    xs, ys = [p.x for p in line.points], [p.y for p in line.points]
    assert xs == sorted(xs)
    assert ys == sorted(ys, reverse=True)
    assert all(0 <= x <= line.width for x in xs)
    assert all(0 <= y <= line.height for y in ys)
    assert line.path == " ".join(f"{x:g},{y:g}" for x, y in zip(xs, ys, strict=True))


def test_the_sparkline_of_one_report_is_a_point_at_its_end() -> None:
    (point,) = sparkline([report()]).points
    assert point.x > sparkline([report()]).width / 2


def test_the_sparkline_says_its_figures_to_who_can_not_see_it() -> None:
    page = index_page([report(1, ("age",)), report()], [], total=2)
    assert 'aria-label="Share of drifted features, oldest report first: 0 %, 33 %"' in page


def test_a_report_has_its_verdict_over_what_evidently_has_drawn() -> None:
    page = report_page(report(0, ("age",)), EVIDENTLY)
    assert page.index("Drift</span>") < page.index("drawn")
    assert "<title>Drift: some_customers, 2026-11-25 09:00 to 12:00 UTC</title>" in page
    assert "age (1 of 3 features)" in page
    assert "no outcome is known yet" in page
    assert "estimate from the chances alone: rmse 0.300" in page


def test_performance_names_the_share_of_known_outcomes() -> None:
    known = Quality(rmse=0.35, logloss=0.41, auc=None, calibration_error=0.03, coverage=0.25)
    page = report_page(report(quality=known), EVIDENTLY)
    assert "rmse 0.350, logloss 0.410, calibration error 0.030, on the 25 %" in page


def test_a_page_of_evidently_s_that_looks_otherwise_is_no_report() -> None:
    with pytest.raises(RuntimeError, match="has changed"):
        report_page(report(), "<html><body class='new'></body></html>")


def test_names_of_reports_sort_by_time_and_need_no_quoting() -> None:
    earlier, later = report_name(NOON, "z"), report_name(NOON.replace(second=1), "a")
    assert earlier < later
    assert re.fullmatch(r"[\w-]+", earlier)
