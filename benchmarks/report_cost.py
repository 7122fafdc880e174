"""Measure the cost of a large report: seconds, memory, page size.

Usage: python -m benchmarks.report_cost [PREDICTIONS]

Each report runs in a process of its own, like a flow run, and its time includes imports. The
predictions are in MongoDB's stand-in, and every second one has an outcome. The first report
compares with training data, the second with the previous window of the same size. Each page is
opened three times in a fresh Chromium, and the median counts.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import TARGET
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.data.dataset import clean, read_raw, split
from mlstack.model.model_store import ModelStore
from mlstack.prediction_log.mongo_sink import MongoSink
from mlstack.settings import ROOT, Settings
from reporting.report import Window
from tests.support.browser import open_browser
from tests.support.models import RUN_ID, keep_model
from tests.support.mongo import MongoServer
from tests.support.references import keep_reference

PREDICTIONS = 100_000
_BATCH = 5000
_LASTING = timedelta(minutes=30)


def main(predictions: int) -> None:
    """Print a line for each report."""
    contract = Contract.load(Settings().contract_path)
    with (
        tempfile.TemporaryDirectory() as scratch,
        MongoServer(Path(scratch) / "mongo") as server,
    ):
        settings = Settings(
            mongo_uri=server.uri,
            state_dir=Path(scratch) / "state",
            reports_dir=Path(scratch) / "reports",
        )
        keep_model(settings.state_path, RUN_ID, contract, seed=1)
        _keep_training_data(settings, contract)
        now = datetime.now(UTC)
        for hours, against in ((1, "training data"), (4, "window before")):
            _predict(settings, contract, now - timedelta(hours=hours), predictions)
            figures = _measure(settings, now)
            print(
                f"{predictions:,} predictions against {against}: "
                + ", ".join(f"{name} {value}" for name, value in figures.items())
            )


def _keep_training_data(settings: Settings, contract: Contract) -> None:
    rows = split(clean(read_raw(ROOT / str(contract.data.sample)), contract), contract).train
    training = rows.rename(columns={contract.target.name: TARGET})
    keep_reference(settings.state_path, RUN_ID, contract, training)


def _predict(settings: Settings, contract: Contract, at: datetime, predictions: int) -> None:
    model, drawn = ModelStore.of(settings).load(RUN_ID), CustomerGenerator(contract, seed=1)
    sink = MongoSink(settings.mongo_uri)
    sink.prepare()
    for start in range(0, predictions, _BATCH):
        customers = drawn.draw(min(_BATCH, predictions - start))
        # They were made within half an hour.
        times = (at + _LASTING * (start + place) / predictions for place in range(len(customers)))
        batch: list[dict[str, Any]] = [
            {
                "_id": str(uuid.uuid4()),
                **customer,
                "prediction": scored.prediction,
                "model_run_id": RUN_ID,
                "contract": {"name": contract.name, "hash": contract.digest},
                "source": "api",
                "created_at": made.isoformat(),
            }
            for customer, scored, made in zip(customers, model.score(customers), times, strict=True)
        ]
        for place in range(0, len(batch), 2):
            batch[place] |= {"target": place % 12 // 10, "target_at": at}
        sink.store_predictions(batch)
    sink.close()


def _measure(settings: Settings, now: datetime) -> dict[str, str]:
    started = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.report_cost", "--report"]
    made = subprocess.run(
        [*command, settings.model_dump_json(), now.isoformat()],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - started
    figures: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    opened = sorted(_open(settings.reports_path / figures["page"]) for _ in range(3))
    return {
        "total": f"{seconds:.1f} s",
        "imports": f"{figures['imports']:.1f} s",
        "peak memory": f"{figures['peak_mib']:.0f} MiB",
        "page": f"{(settings.reports_path / figures['page']).stat().st_size / 1e6:.1f} MB",
        "opened in": f"{opened[1]:.1f} s",
    }


def _open(page: Path) -> float:
    """Return the seconds until a fresh browser has drawn every plot."""
    with open_browser() as browser:
        tab = browser.new_page()
        started = time.monotonic()
        tab.goto(page.as_uri())
        tab.wait_for_function(
            "document.querySelector('.js-plotly-plot') &&"
            "!document.querySelector('.js-plotly-plot:not(:has(.main-svg))')"
        )
        return time.monotonic() - started


def report(settings: Settings, now: datetime) -> None:
    """Create a report and print its cost."""
    started = time.monotonic()
    from reporting.reporter import create_report  # noqa: PLC0415 - the import is timed

    imports = time.monotonic() - started
    window = Window(start=now - timedelta(hours=3), end=now)
    contract = Contract.load(settings.contract_path)
    made = create_report(settings, contract, window, flow_run_id="benchmark", say=print)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"imports": imports, "peak_mib": peak_mib, "page": made.html}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--report", settings, now]:
            report(Settings.model_validate_json(settings), datetime.fromisoformat(now))
        case arguments:
            main(int(arguments[0]) if arguments else PREDICTIONS)
