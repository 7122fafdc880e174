"""Index and reports in a real browser, without a network."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from mlstack.prediction_log.sampling import Sample
from mlstack.quality.targets import measure
from mlstack.settings import ROOT, Settings
from operations.embedded.report_browser import EMPTY, command, nginx
from reporting.comparison import Comparison
from reporting.evidently_page import drift_html
from reporting.pages import INDEX, index_page, report_page
from reporting.report import Baseline, Report, Window
from reporting.reporter import build_report
from tests.support.browser import DESKTOP, PHONE, needs_chromium
from tests.support.customers import contract_named, customers, with_outcomes
from tests.support.ports import free_port
from tests.support.waiting import wait_until

RUN_ID = "0123456789abcdef" * 2
END = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three reports as the flow makes them, the newest with drift, and their index."""
    folder = tmp_path_factory.mktemp("reports")
    reports = [_make(folder, 0)]
    reports.append(_make(folder, 3, previous=reports[0]))
    reports.append(_make(folder, 6, drift="incomes_rise", previous=reports[1]))
    newest_first = reports[::-1]
    pages = [path.name for path in folder.iterdir()]
    (folder / INDEX).write_text(index_page(newest_first, pages, 3), encoding="utf-8")
    return folder


def _make(folder: Path, hours: int, drift: str = "", previous: Report | None = None) -> Report:
    contract = contract_named("credit_card_churn")
    end = END + timedelta(hours=hours)
    window = Window(start=end - timedelta(hours=3), end=end)
    recent = with_outcomes(customers(contract, 400, drift=drift, seed=2))
    reference = with_outcomes(customers(contract, 1000))
    baseline = Baseline(kind="training data", rows=1000)
    comparison = Comparison(
        RUN_ID,
        window,
        Sample(recent, 400, 0.0),
        baseline,
        reference,
        measure(reference, contract.target),
        n_rescored=0,
    )
    report = build_report(comparison, contract, created_at=end, flow_run_id="a flow run")
    page = report_page(report, drift_html(contract, reference, recent), previous)
    (folder / report.html).write_text(page, encoding="utf-8")
    return report


class Watched:
    """A page without a network that records what it asked for or complained of."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._console)
        self.page.on("request", self._request)
        self.allowed = "file://"

    def _console(self, message: object) -> None:
        if getattr(message, "type", "") in ("error", "warning"):
            self.complaints.append(getattr(message, "text", ""))

    def _request(self, request: object) -> None:
        url = getattr(request, "url", "")
        if not url.startswith((self.allowed, "data:", "blob:")):
            self.complaints.append(f"asked for {url}")


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def watched(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Watched]:
    width, height = request.param
    viewport: ViewportSize = {"width": width, "height": height}
    with browser.new_context(viewport=viewport, offline=True) as context:
        watched = Watched(context)
        yield watched
        assert watched.complaints == []


def fits(page: Page) -> bool:
    """Say whether the page needs no horizontal scrolling."""
    width: bool = page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    return width


def test_index_shows_each_verdict(watched: Watched, folder: Path, tmp_path: Path) -> None:
    """Newest first, drift marked."""
    page = watched.page
    page.goto(f"file://{folder / INDEX}")
    expect(page).to_have_title("Reports: drift")
    expect(page.get_by_role("heading", name="Credit card churn")).to_be_visible()
    expect(page.locator("section p").first).to_contain_text("Drift in the newest report")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    for place, texts in enumerate(
        (
            ("2026-11-25 15:30:00", "Drift", "12:30 to 15:30", "400", "income_category"),
            ("2026-11-25 12:30:00", "No drift", "09:30 to 12:30", "400", "no feature"),
            ("2026-11-25 09:30:00", "No drift", "06:30 to 09:30", "400", "no feature"),
        )
    ):
        for text in (*texts, "against the training data", RUN_ID[:8]):
            expect(rows.nth(place)).to_contain_text(text)
    trend = page.get_by_role("img", name="Share of drifted features")
    expect(trend).to_be_visible()
    expect(trend).to_have_attribute(
        "aria-label",
        r"Share of drifted features, oldest report "
        "first: 0 %, 0 %, 18 %",
    )
    assert fits(page)
    page.screenshot(path=tmp_path / "index.png", full_page=True)


def test_report_opens_from_its_file_without_a_network(
    watched: Watched, folder: Path, tmp_path: Path
) -> None:
    """All plots are drawn, and a link leads back."""
    page = watched.page
    page.goto(f"file://{folder / INDEX}")
    page.get_by_role("link", name="2026-11-25 15:30:00").click()
    expect(page).to_have_title("Drift: credit_card_churn, 2026-11-25 12:30 to 15:30 UTC")
    head = page.locator("#report-head")
    expect(head).to_contain_text("2026-11-25 12:30 to 15:30 UTC, 400 predictions")
    expect(head).to_contain_text("the training data, 1,000 rows")
    expect(head).to_contain_text("(2 of 11 features); the predictions have not drifted")
    expect(head).to_contain_text("on the 400 predictions (100 %) whose outcome is known")
    expect(head).to_contain_text(f"MLflow run {RUN_ID}")
    expect(head.get_by_role("rowheader", name="card_category blue")).to_be_visible()
    assert head.evaluate("head => head.scrollWidth <= document.documentElement.clientWidth")
    change = "Since the report of 2026-11-25 12:30 UTC: income_category, credit_limit have drifted."
    expect(head.locator(".change")).to_have_text(change)
    expect(head.locator("svg.chart")).to_be_visible()
    # Drawn by Evidently's own scripts.
    expect(page.get_by_text("Dataset Drift is detected")).to_be_visible()
    expect(page.get_by_text("Quality on 400 known outcomes")).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    page.screenshot(path=tmp_path / "report.png")
    page.get_by_role("link", name="All reports").click()
    expect(page.get_by_role("heading", name="Reports")).to_be_visible()


def test_empty_index_says_what_to_do(watched: Watched, tmp_path: Path) -> None:
    """It names the command."""
    page = watched.page
    page.goto(f"file://{EMPTY}")
    expect(page.get_by_role("heading", name="There is no report yet")).to_be_visible()
    expect(page.get_by_text("make report")).to_be_visible()
    assert fits(page)
    page.screenshot(path=tmp_path / "empty.png", full_page=True)


def test_index_follows_the_dark_mode(browser: Browser, folder: Path, tmp_path: Path) -> None:
    """Whoever asks for dark pages gets them."""
    with browser.new_context(color_scheme="dark", offline=True) as context:
        page = context.new_page()
        page.goto(f"file://{folder / INDEX}")
        colour = "getComputedStyle(document.body).backgroundColor"
        assert max(map(int, page.evaluate(colour)[4:-1].split(","))) < 64
        page.screenshot(path=tmp_path / "dark.png", full_page=True)


@pytest.mark.skipif(nginx() is None, reason="no nginx is installed here")
def test_report_draws_under_the_security_policy(
    browser: Browser, folder: Path, tmp_path: Path
) -> None:
    """A report draws all the same under nginx's security policy."""
    settings = Settings(reports_dir=folder, reports_port=free_port())
    address = f"http://127.0.0.1:{settings.reports_port}"
    server = subprocess.Popen(command(settings, tmp_path / "nginx", nginx()), cwd=ROOT)

    def answers() -> bool:
        try:
            return requests.get(address, timeout=5).ok
        except requests.ConnectionError:
            return False

    try:
        wait_until(answers, "nginx answers")
        with browser.new_context() as context:
            watched = Watched(context)
            watched.allowed = address
            watched.page.goto(address)
            watched.page.get_by_role("link", name="2026-11-25 15:30:00").click()
            expect(watched.page.get_by_text("Dataset Drift is detected")).to_be_visible()
            plot = watched.page.locator(".js-plotly-plot .main-svg").first
            expect(plot).to_be_visible()
            assert watched.complaints == []
    finally:
        server.terminate()
        server.wait(20)
