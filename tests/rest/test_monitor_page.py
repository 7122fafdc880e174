"""The monitoring page in a real browser, on a screen and on a phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from mlstack.contract import Contract
from mlstack.contract.drifts import DriftingCustomers, drifts_path, load_drift
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.model.model import Model
from mlstack.settings import ROOT
from tests.support.api_server import MonitorService
from tests.support.browser import DESKTOP, PHONE, needs_chromium
from tests.support.customers import contract_named, customers, with_outcomes
from tests.support.models import RUN_ID, deploy_model, predictions
from tests.support.ports import free_port
from tests.support.references import keep_reference
from tests.support.waiting import wait_until

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def contract() -> Contract:
    return contract_named("credit_card_churn")


@pytest.fixture(scope="module")
def service(
    contract: Contract, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MonitorService]:
    state = tmp_path_factory.mktemp("monitor") / "state"
    deploy_model(state, contract)
    keep_reference(state, RUN_ID, contract, with_outcomes(customers(contract, 2000)))
    nowhere = f"mongodb://127.0.0.1:{free_port()}"
    with MonitorService(state, MONITOR_PERIOD_SECONDS="0.3", MONGO_URI=nowhere) as service:
        yield service


@pytest.fixture(scope="module", params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    width, height = request.param
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(60_000)
    yield page
    page.close()


def _post(
    service: MonitorService, contract: Contract, model: Model, count: int, drift: str = ""
) -> None:
    drawn = CustomerGenerator(contract, seed=4).draw(count)
    if drift:
        path = drifts_path(ROOT / f"contracts/{contract.name}.yaml")
        drawn = DriftingCustomers(contract, load_drift(contract, path, drift), 1).apply(drawn)
    rows = [
        {**customer, "prediction": chance, "target": number % 2}
        for number, (customer, chance) in enumerate(
            zip(drawn, predictions(model, drawn), strict=True)
        )
    ]
    assert service.post(f"/iterate/{contract.name}", rows).status == 200


def _open(page: Page, service: MonitorService) -> list[str]:
    """Open the page; return the hosts that it asked."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"http://127.0.0.1:{service.port}/monitoring")
    return asked


def _fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


@pytest.mark.parametrize("drift", ["", "young_customers_arrive"])
def test_page_shows_the_verdict_first(
    service: MonitorService, contract: Contract, page: Page, tmp_path: Path, drift: str
) -> None:
    """Then the window, the reference and each feature."""
    verdict = "Customers have drifted" if drift else "No drift"
    model = Model.load(service.log.parent / "models" / RUN_ID, RUN_ID)
    _post(service, contract, model, 1000, drift)
    wait_until(
        lambda: verdict in service.request("GET", "/monitoring").body.decode(),
        f"it says {verdict}",
        120,
    )
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    asked = _open(page, service)
    expect(page.get_by_role("status").get_by_role("heading")).to_have_text(verdict)
    expect(page.locator("dl")).to_contain_text(RUN_ID)
    expect(page.locator("dl")).to_contain_text("1,000 of 1,000 rows")
    expect(page.locator("dl")).to_contain_text("2,000 training rows")
    rows = page.locator("table").first.locator("tbody tr")
    expect(rows).to_have_count(len(contract.features) + 1)
    if drift:
        expect(rows.first).to_contain_text("drifted")
        expect(rows.filter(has_text="months_on_book")).to_contain_text("drifted")
    expect(page.locator("table.quality")).to_contain_text("calibration error")
    expect(page.locator(".pictures svg.chart")).to_have_count(len(contract.features) + 1)
    expect(page.locator(".timelines svg.chart")).to_have_count(2)
    assert _fits(page)
    assert said == []
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {
        f"127.0.0.1:{service.port}"
    }
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 0
