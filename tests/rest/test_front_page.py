"""The stack's front page of a real monitoring service, whose neighbours answer, fail or hang."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
from playwright.sync_api import Browser, expect

from mlstack.deployment.record import DeploymentState
from mlstack.model.card_names import CARD_TAG, card_name
from tests.support.api_server import MonitorService
from tests.support.browser import DESKTOP, PHONE, needs_chromium
from tests.support.page_checks import low_contrasts, needs_scrolling
from tests.support.ports import free_port
from tests.support.waiting import wait_until

RUN_ID, EXPERIMENT = "a" * 32, "12"
CARD = {"key": CARD_TAG, "value": "model_card/card.html"}
LONG = "a_feature_whose_name_is_" + "very_" * 20 + "long"
ALERT = {
    "labels": {"alertname": "DataDrifted", "severity": "critical"},
    "annotations": {"summary": f"{LONG} differs <b>much</b>", "runbook": "Train again."},
    "state": "firing",
    "activeAt": "2026-01-01T00:00:00.123456789Z",
}


class Neighbours:
    """Answers as Prometheus, MLflow and the HTTP server; one more port accepts and is silent."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        neighbours = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = neighbours.answer(self.path)
                body = json.dumps(answer).encode()
                self.send_response(404 if answer is None else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.silent = socket.create_server(("127.0.0.1", 0))

    def answer(self, path: str) -> Any:
        match path.partition("?")[0]:
            case "/api/v1/alerts":
                return {"data": {"alerts": self.alerts}}
            case "/api/2.0/mlflow/runs/get":
                return {"run": {"info": {"experiment_id": EXPERIMENT}}}
            case "/api/2.0/mlflow/model-versions/search":
                version = {"name": "credit_card_churn", "version": "3", "tags": [CARD]}
                return {"model_versions": [version]}
            case "/health/ready":
                return {"model_run_id": RUN_ID}
        return None

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.silent.close()


@dataclass(frozen=True)
class Stack:
    """A monitoring service and its neighbours."""

    service: MonitorService
    neighbours: Neighbours

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.service.port}/"

    def html(self) -> str:
        answer = self.service.request("GET", "/")
        assert answer.status == 200
        return answer.body.decode()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    state = tmp_path_factory.mktemp("front") / "state"
    DeploymentState(state).write_record(RUN_ID, "ana")
    with Neighbours() as neighbours:
        silent = neighbours.silent.getsockname()[1]
        services = f"""
            model-server-api model_is_served {neighbours.url}
            mlflow mlflow_searches http://127.0.0.1:{silent}
            mongo mongo_answers mongodb://127.0.0.1:{silent}
            nginx url_answers http://127.0.0.1:{free_port()}
            {LONG} heartbeat log_keeper
            aws left_out 'it is not installed here'
            evidently_service url_answers {neighbours.url}/health/ready"""
        settings = {
            "STACK_SERVICES": services,
            "PROMETHEUS_URL": neighbours.url,
            "MLFLOW_TRACKING_URI": neighbours.url,
            "MONGO_URI": f"mongodb://somebody:opensesame@127.0.0.1:{free_port()}",
            "MONITOR_PERIOD_SECONDS": "1",
        }
        with MonitorService(state, **settings) as service:
            yield Stack(service, neighbours)


def test_page_never_waits_for_a_service(stack: Stack) -> None:
    """Two services accept connections and say nothing; the page names them and is quick."""
    wait_until(lambda: stack.html().count("overloaded or stuck") == 2, "both are named")
    began = time.monotonic()
    for _ in range(20):
        page = stack.html()
    assert time.monotonic() - began < 2
    assert "Not ready: MLflow, MongoDB, Reports" in page
    assert f'href="http://127.0.0.1:5051/#/experiments/{EXPERIMENT}/runs/{RUN_ID}"' in page
    assert "credit_card_churn 3" in page
    assert f'href="http://127.0.0.1:8888/{card_name(RUN_ID)}"' in page
    assert stack.address in page
    assert "opensesame" not in page


class Opened:
    """A page that a browser has opened, and what it complained of."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.complaints: list[str] = []
        self.page = browser.new_page(**options)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.add(request.url))
        self.asked: set[str] = set()
        self._address = address
        self.page.goto(address)

    def close(self) -> None:
        """Check that it had nothing to complain of, and asked nobody else."""
        self.page.close()
        assert self.complaints == []
        assert {url for url in self.asked if not url.startswith((self._address, "data:"))} == set()


@needs_chromium
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_readable(
    stack: Stack, browser: Browser, tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    """Nothing overflows, every text has the contrast of AA, and nothing comes from elsewhere."""
    stack.neighbours.alerts = [ALERT]
    wait_until(lambda: "1 alert fires" in stack.html(), "the alert is shown")
    viewport = {"width": size[0], "height": size[1]}
    opened = Opened(browser, stack.address, viewport=viewport, color_scheme=scheme)
    page = opened.page
    expect(page.get_by_role("status").get_by_role("heading")).to_have_text("Needs attention")
    expect(page.get_by_text("<b>much</b>")).to_be_visible()
    assert not needs_scrolling(page)
    assert low_contrasts(page) == []
    page.screenshot(path=tmp_path / "front.png", full_page=True)
    opened.close()


@needs_chromium
def test_page_renews_itself(stack: Stack, browser: Browser) -> None:
    """It is not loaded again, so that who reads keeps the place."""
    stack.neighbours.alerts = []
    wait_until(lambda: "No alert fires." in stack.html(), "the alert is gone")
    opened = Opened(browser, stack.address, viewport={"width": 390, "height": 500})
    page = opened.page
    expect(page.get_by_text("No alert fires.")).to_be_visible()
    page.evaluate("window.mark = 1; window.scrollTo(0, 300)")
    stack.neighbours.alerts = [ALERT]
    expect(page.get_by_text("1 alert fires")).to_be_visible()
    assert page.evaluate("[window.mark, window.scrollY]") == [1, 300]
    opened.close()
