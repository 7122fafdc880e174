"""The pages of the HTTP server in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from mlstack.contract import CategoryFeature, Contract, IntegerFeature, OrdinalFeature
from mlstack.model.model import Model
from mlstack.model.model_files import EXTRA_FOLDER
from mlstack.model.model_writer import write_extra_files
from mlstack.settings import ROOT
from tests.support.api_server import ApiServer
from tests.support.browser import DESKTOP, PHONE, needs_chromium
from tests.support.contracts import CONTRACTS
from tests.support.models import RUN_ID, deploy_model, predictions, train

MOST_BARS = 12
ODD_NAMES = (
    "answer",
    "action",
    "customer",
    "dataset",
    "problem",
    "probabilities",
    "method",
    "elements",
)

pytestmark = needs_chromium

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module", params=CONTRACTS)
def serving(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ApiServer, Contract, Model]]:
    contract = Contract.load(ROOT / "contracts" / f"{request.param}.yaml")
    state = tmp_path_factory.mktemp(request.param)
    folder = deploy_model(state, contract)
    name = f"contracts/{request.param}.yaml"
    with ApiServer(state, CONTRACT=name, API_WORKERS="1") as server:
        yield server, contract, Model.load(folder, RUN_ID)


class Watched:
    """A page that records which hosts it asked and what it complained of."""

    def __init__(self, context: BrowserContext, server: ApiServer) -> None:
        self.page: Page = context.new_page()
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._console)
        self._address = f"127.0.0.1:{server.port}"

    def _console(self, message: object) -> None:
        text = getattr(message, "text", "")
        # Chromium complains of every answer but 200, and some tests ask for those.
        if getattr(message, "type", "") == "error" and "Failed to load resource" not in text:
            self.complaints.append(text)

    def open(self, path: str) -> Page:
        self.page.goto(f"http://{self._address}{path}")
        return self.page

    def check(self) -> None:
        """Check that no other host was asked and nothing was complained of."""
        self.hosts.discard("")  # data: addresses
        assert self.hosts == {self._address}
        assert self.complaints == []


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def watched(
    request: pytest.FixtureRequest, browser: Browser, serving: tuple[ApiServer, Contract, Model]
) -> Iterator[Watched]:
    width, height = request.param
    with browser.new_context(viewport={"width": width, "height": height}) as context:
        watched = Watched(context, serving[0])
        yield watched
        watched.check()


def fits(page: Page) -> bool:
    """Say whether the page needs no horizontal scrolling."""
    width: bool = page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    return width


def test_form_shows_the_prediction(
    watched: Watched, serving: tuple[ApiServer, Contract, Model], tmp_path: Path
) -> None:
    """The form's example gets the model's own chance."""
    _, contract, model = serving
    page = watched.open("/")
    customer = dict(contract.example)
    for feature in contract.features:
        if isinstance(feature, CategoryFeature | OrdinalFeature):
            customer[feature.name] = feature.values[-1]
            page.get_by_label(feature.meaning).select_option(label=feature.labels[-1])
        elif isinstance(feature, IntegerFeature):
            customer[feature.name] = feature.example + 1
            page.get_by_label(feature.meaning).fill(str(feature.example + 1))
    page.get_by_role("button", name="Predict").click()
    chance = predictions(model, [customer])[0]
    expect(page.locator("#prediction")).to_have_text(f"{100 * chance:.1f} %")
    expect(page.locator("#run-id")).to_have_text(RUN_ID)
    expect(page.locator("#prediction-id")).to_have_text(_UUID)
    expect(page.locator("#problem")).to_be_hidden()
    expect(page.locator("#no-why")).to_be_hidden()
    bars = page.locator("#contributions li")
    shown = min(len(contract.features), MOST_BARS + 1)
    expect(bars).to_have_count(shown)
    largest = bars.first
    assert largest.locator(".name").inner_text() in {f.meaning for f in contract.features}
    assert re.fullmatch(r"[+-]\d+\.\d+", largest.locator(".amount").inner_text())
    assert largest.locator(".track div").evaluate("bar => bar.style.width") == "50%"
    assert fits(page)
    page.screenshot(path=tmp_path / "answer.png", full_page=True)


def test_form_predicts_what_cannot_be_explained(
    watched: Watched, serving: tuple[ApiServer, Contract, Model]
) -> None:
    """A server that has no time to explain still predicts, and the form says so."""
    _, contract, model = serving
    page = watched.open("/")
    busy = {"status": 503, "title": "The server is overloaded.", "detail": "", "code": "overloaded"}
    page.route("**/predict?explain=1", lambda route: route.fulfill(status=503, json=busy))
    page.get_by_role("button", name="Predict").click()
    chance = predictions(model, [contract.example])[0]
    expect(page.locator("#prediction")).to_have_text(f"{100 * chance:.1f} %")
    expect(page.locator("#no-why")).to_be_visible()
    expect(page.locator("#why")).to_be_hidden()
    expect(page.locator("#problem")).to_be_hidden()


def test_form_shows_faults_at_their_fields(
    watched: Watched, serving: tuple[ApiServer, Contract, Model], tmp_path: Path
) -> None:
    """They go away when they are put right."""
    _, contract, _ = serving
    low, empty = [f for f in contract.features if isinstance(f, IntegerFeature)][:2]
    page = watched.open("/")
    page.get_by_label(low.meaning).fill(str(low.range[0] - 1))
    page.get_by_label(empty.meaning).fill("")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(f"#feature-{low.name}-error")).to_contain_text(f"from {low.range[0]} to")
    expect(page.locator(f"#feature-{empty.name}-error")).to_contain_text("is missing")
    expect(page.locator(".error:visible")).to_have_count(2)
    assert page.evaluate("document.activeElement.id") == f"feature-{low.name}"
    expect(page.get_by_role("alert")).to_contain_text("marked fields")
    expect(page.locator("#answer")).to_be_hidden()
    assert fits(page)
    page.screenshot(path=tmp_path / "faults.png", full_page=True)
    for feature in (low, empty):
        page.get_by_label(feature.meaning).fill(str(feature.example))
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#answer")).to_be_visible()
    expect(page.locator(".error:visible")).to_have_count(0)


def test_form_takes_features_named_like_its_own_parts(browser: Browser, tmp_path: Path) -> None:
    """An input's name would hide the form's property of that name."""
    documented = Contract.load(ROOT / "contracts" / "credit_card_churn.yaml")
    text = (ROOT / "contracts" / "credit_card_churn.yaml").read_text(encoding="utf-8")
    for old, new in zip(documented.feature_names, ODD_NAMES, strict=False):
        text = re.sub(rf"\b(name|feature): {old}\b", rf"\1: {new}", text)
    (tmp_path / "odd.yaml").write_text(text, encoding="utf-8")
    folder = deploy_model(tmp_path, documented)
    write_extra_files(train(documented, seed=1), Contract.parse(text), text, folder / EXTRA_FOLDER)
    model = Model.load(folder, RUN_ID)
    assert set(ODD_NAMES) <= set(model.contract.feature_names)
    settings = {"CONTRACT": str(tmp_path / "odd.yaml"), "API_WORKERS": "1"}
    with ApiServer(tmp_path, **settings) as server, browser.new_context() as context:
        watched = Watched(context, server)
        page = watched.open("/")
        page.get_by_role("button", name="Predict").click()
        chance = predictions(model, [model.contract.example])[0]
        expect(page.locator("#prediction")).to_have_text(f"{100 * chance:.1f} %")
        watched.check()


def test_api_page_lists_every_operation(
    watched: Watched, serving: tuple[ApiServer, Contract, Model], tmp_path: Path
) -> None:
    """It loads nothing from elsewhere."""
    page = watched.open("/docs")
    paths = serving[0].request("GET", "/openapi.json").json()["paths"]
    expect(page.locator(".opblock")).to_have_count(len(paths))
    expect(page.locator("#operations-predictions-predict")).to_be_visible()
    page.locator("#operations-predictions-predict button.opblock-summary-control").click()
    expect(page.locator("#operations-predictions-predict")).to_contain_text("Idempotency-Key")
    expect(page.locator("#problem-invalid_customer")).to_be_visible()
    assert fits(page)
    page.screenshot(path=tmp_path / "docs.png", full_page=True)


def test_api_page_can_be_tried_out(
    watched: Watched, serving: tuple[ApiServer, Contract, Model]
) -> None:
    """A request from the page is answered."""
    page = watched.open("/docs")
    operation = page.locator("#operations-predictions-predict")
    operation.locator("button.opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text(serving[1].answer)


def test_page_follows_the_dark_mode(
    browser: Browser, serving: tuple[ApiServer, Contract, Model], tmp_path: Path
) -> None:
    """Whoever asks for dark pages gets them."""
    with browser.new_context(color_scheme="dark") as context:
        page = Watched(context, serving[0]).open("/")
        colour = "getComputedStyle(document.body).backgroundColor"
        assert max(map(int, page.evaluate(colour)[4:-1].split(","))) < 64
        page.get_by_role("button", name="Predict").click()
        expect(page.locator("#why")).to_be_visible()
        page.screenshot(path=tmp_path / "dark.png", full_page=True)
