"""A report from predictions in MongoDB: its page, document and index."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import TARGET
from mlstack.errors import NoReference, RegistryUnavailable, TooFewRows
from mlstack.model.model_store import ModelStore
from mlstack.prediction_log.mongo_database import StorageUnavailable
from mlstack.prediction_log.mongo_sink import MongoSink
from mlstack.quality.results import BinaryQuality
from mlstack.settings import Settings
from reporting.report import Report, Window
from reporting.report_store import ReportStore
from reporting.reporter import create_report
from tests.support.customers import customers
from tests.support.models import keep_model
from tests.support.references import QUALITY, keep_reference

OLD, NEW = "a" * 32, "b" * 32
MIB = 1024**2
END = datetime(2026, 11, 25, 12, tzinfo=UTC)
WINDOW = Window(start=END - timedelta(hours=3), end=END)


@pytest.fixture
def settings(mongo: str, tmp_path: Path, documented: Contract) -> Settings:
    """A state folder with two models and their training data, and a MongoDB with nothing in it."""
    settings = Settings(
        mongo_uri=mongo, state_dir=tmp_path / "state", reports_dir=tmp_path / "reports"
    )
    for seed, run_id in enumerate((OLD, NEW)):
        keep_model(settings.state_path, run_id, documented, seed)
        _keep_training_data(settings, run_id, documented)
    return settings


def _keep_training_data(settings: Settings, run_id: str, contract: Contract) -> None:
    rows = customers(contract, 2000, seed=3)
    outcomes = pd.Series(range(len(rows)), index=rows.index) % 2
    keep_reference(settings.state_path, run_id, contract, rows.assign(**{TARGET: outcomes}))


def _predict(
    settings: Settings,
    contract: Contract,
    hours_ago: float,
    *,
    rows: int = 400,
    run_id: str = NEW,
    drift: str = "",
    outcomes: int = 0,
) -> None:
    """Store predictions that a model made some hours before the window's end."""
    table = customers(contract, rows, drift=drift)
    model = ModelStore.of(settings).load(run_id)
    chances = model.score_matrix(model.encoder.encode_frame(table))
    at = END - timedelta(hours=hours_ago)
    features = table[list(contract.feature_names)].astype(object)
    documents: list[dict[str, Any]] = [
        {
            "_id": str(uuid.uuid4()),
            **{str(name): value for name, value in row.items()},
            "prediction": float(chance),
            "model_run_id": run_id,
            "contract": {"name": contract.name, "hash": contract.digest},
            "source": "api",
            "created_at": (at + timedelta(milliseconds=number)).isoformat(),
        }
        for number, (row, chance) in enumerate(
            zip(features.to_dict("records"), chances, strict=True)
        )
    ]
    sink = MongoSink(settings.mongo_uri)
    sink.store_predictions(documents)
    sink.store_outcomes(
        [
            {"_id": each["_id"], "target": number % 2, "target_at": END.isoformat()}
            for number, each in enumerate(documents[:outcomes])
        ]
    )
    sink.close()


def _report(settings: Settings, contract: Contract, window: Window = WINDOW) -> Report:
    said: list[str] = []
    return create_report(settings, contract, window, flow_run_id="a flow run", say=said.append)


def test_first_report_compares_with_the_training_data(
    settings: Settings, documented: Contract
) -> None:
    """Page and document say the same."""
    _predict(settings, documented, hours_ago=1, outcomes=200)
    report = _report(settings, documented)
    assert (report.verdict, report.drifted_features, report.n_predictions) == ("no drift", (), 400)
    assert (report.compared_with.kind, report.compared_with.rows) == ("training data", 2000)
    assert report.model_run_id == NEW
    assert tuple(feature.column for feature in report.features) == documented.feature_names
    assert report.quality is not None
    assert report.quality.coverage == 0.5
    slices = {f"{each.feature} {each.label}": each for each in report.slices}
    assert slices["gender F"].customers + slices["gender M"].customers == 400
    assert isinstance(report.baseline_quality, BinaryQuality)
    assert report.baseline_quality.rmse == QUALITY["rmse"]  # of validation rows, not training rows
    with ReportStore(settings.mongo_uri) as store:
        assert store.of_flow_run("a flow run") == report
        assert store.newest(10) == [report]
    page = (settings.reports_path / report.html).read_text()
    assert "Dataset Drift is NOT detected" in page
    assert len(page.encode()) < 6 * MIB
    index = (settings.reports_path / "index.html").read_text()
    assert f'<a href="{report.html}">' in index


def test_report_names_drift_against_the_window_before(
    settings: Settings, documented: Contract
) -> None:
    """The features that have drifted are named."""
    _predict(settings, documented, hours_ago=4, outcomes=200)
    _predict(settings, documented, hours_ago=1, drift="incomes_rise")
    report = _report(settings, documented)
    assert report.compared_with.kind == "window before"
    assert report.compared_with.window == Window(start=END - timedelta(hours=6), end=WINDOW.start)
    assert report.verdict == "drift"
    assert "income_category" in report.drifted_features
    assert report.quality is None
    assert report.baseline_quality is not None
    assert report.baseline_quality.coverage == 0.5
    page = (settings.reports_path / report.html).read_text()
    assert "Dataset Drift is detected" in page


def test_report_does_not_take_a_new_model_for_drift(
    settings: Settings, documented: Contract
) -> None:
    """The two models say different things of the same customers."""
    _predict(settings, documented, hours_ago=4, run_id=OLD)
    _predict(settings, documented, hours_ago=1, run_id=OLD, rows=50)
    _predict(settings, documented, hours_ago=0.5, run_id=NEW)
    report = _report(settings, documented)
    assert report.model_run_id == NEW
    assert report.n_rescored == 450
    assert not report.prediction.drifted


def test_report_skips_a_window_with_too_few_predictions(
    settings: Settings, documented: Contract
) -> None:
    """It compares with the training data instead."""
    _predict(settings, documented, hours_ago=4, rows=29)
    _predict(settings, documented, hours_ago=1)
    assert _report(settings, documented).compared_with.kind == "training data"


@pytest.mark.parametrize(("rows", "found"), [(0, "only 0"), (1, "only 1"), (29, "only 29")])
def test_too_few_predictions_make_no_report(
    settings: Settings, documented: Contract, rows: int, found: str
) -> None:
    """The error says how many there are, and nothing is left behind."""
    _predict(settings, documented, hours_ago=4)
    if rows:
        _predict(settings, documented, hours_ago=1, rows=rows)
    with pytest.raises(TooFewRows, match=f"needs 30 predictions, but has {found} in .* UTC$"):
        _report(settings, documented)
    assert not settings.reports_path.exists()
    with ReportStore(settings.mongo_uri) as store:
        assert store.count() == 0


def test_report_needs_training_data(settings: Settings, documented: Contract) -> None:
    """A model whose reference cannot be had is an error."""
    unknown = "c" * 32
    keep_model(settings.state_path, unknown, documented, seed=5)
    _predict(settings, documented, hours_ago=1, run_id=unknown)
    with pytest.raises((NoReference, RegistryUnavailable)):
        _report(settings, documented)


def test_report_without_mongodb_says_so(settings: Settings, documented: Contract) -> None:
    """The error names MongoDB."""
    nobody = settings.model_copy(update={"mongo_uri": "mongodb://127.0.0.1:9"})
    with pytest.raises(StorageUnavailable, match="MongoDB"):
        _report(nobody, documented)


def test_index_lists_the_newest_first(settings: Settings, documented: Contract) -> None:
    """A page that was removed does not stop it."""
    _predict(settings, documented, hours_ago=1)
    first = _report(settings, documented)
    (settings.reports_path / first.html).unlink()
    later = Window(start=WINDOW.start, end=END + timedelta(minutes=1))
    second = _report(settings, documented, later)
    index = (settings.reports_path / "index.html").read_text()
    assert re.findall(r"2026-11-25 12:0\d:00", index) == [
        "2026-11-25 12:01:00",
        "2026-11-25 12:00:00",
    ]
    assert second.html in index
    assert first.html not in index
    assert sorted(path.name for path in settings.reports_path.iterdir()) == [
        second.html,
        "index.html",
    ]


def test_both_contracts_can_be_reported_on(settings: Settings, full: Contract) -> None:
    """The other one has features that may be missing."""
    keep_model(settings.state_path, "d" * 32, full, seed=1)
    _keep_training_data(settings, "d" * 32, full)
    _predict(settings, full, hours_ago=1, run_id="d" * 32)
    report = _report(settings, full)
    assert (report.contract.name, report.verdict) == (full.name, "no drift")
