"""Every query that the stack sends to MongoDB is a range of an index that the stack creates."""

import io
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, monitoring

from mlstack.contract import Contract
from mlstack.prediction_log.indexes import INDEXES, KEYED_INDEXES
from mlstack.prediction_log.kept_predictions import KeptPredictions
from mlstack.prediction_log.mongo_database import DATABASE, mongo_client
from mlstack.prediction_log.mongo_sink import MongoSink
from mlstack.prediction_log.prediction_store import PredictionStore
from mlstack.quality import drift_history
from mlstack.quality.drift_history import HISTORY, HistoryStore
from mlstack.quality.report_head import REPORTS, newest_report
from mlstack.settings import Settings
from operations import predictions
from operations.backup.archive import ArchiveWriter, Manifest, unpack
from operations.backup.contents import has_documents, restore_documents, save_documents
from operations.demo.running_stack import RunningStack
from operations.retention.database import prune_database
from reporting import report_store
from reporting.report_store import ReportStore
from tests.support.every_kind import TEXT
from tests.support.moments import moment
from tests.support.queries import Index, Query, QueryRecorder, places_of_queries
from tests.support.reports import report

NOW = datetime.now(UTC)
MOMENT = moment(NOW.replace(microsecond=0))
IDS = [str(uuid.UUID(int=number)) for number in range(40)]

FIRST_DOCUMENT = "operations.backup.contents.has_documents"
"""It asks whether there is any document, which needs no index."""


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> QueryRecorder:
    """Listens to every client that is made during the test."""
    recorder = QueryRecorder()
    listeners = monitoring._LISTENERS
    commands = [*listeners.command_listeners, recorder]
    monkeypatch.setattr(monitoring, "_LISTENERS", listeners._replace(command_listeners=commands))
    return recorder


def _document(contract: Contract, number: int, model: str = "m") -> dict[str, Any]:
    return {
        "_id": IDS[number],
        "prediction": 0.5,
        "model_run_id": model,
        "contract": {"name": contract.name, "hash": contract.digest},
        "source": "api",
        "created_at": (NOW - timedelta(minutes=60 - number)).isoformat(),
        "_more": {"key": f"k{number % 4}"},
    }


def _keep(uri: str, contract: Contract) -> None:
    """Store predictions and outcomes, by id and by key, in both orders."""
    sink = MongoSink(uri)
    sink.prepare()
    by_key = {"contract": {"name": contract.name}, "_more": {"key": "k1"}}
    at = NOW.isoformat()
    sink.store_outcomes([{"_id": IDS[0], "target": 1, "target_at": at}])
    sink.store_predictions([_document(contract, number) for number in range(20)])
    sink.store_outcomes([{"_id": "by key", "target": 1, "target_at": at, **by_key}])
    # Later ones of the same customers, and one that is answered again by another model.
    sink.store_predictions([_document(contract, number) for number in range(20, 30)])
    sink.store_predictions([_document(contract, 5, "n") | {"created_at": at}])
    later = (NOW + timedelta(seconds=1)).isoformat()
    sink.store_outcomes([{"_id": IDS[0], "target": 0, "target_at": later}])
    sink.close()


def _read(uri: str, contract: Contract) -> None:
    start, end = NOW - timedelta(hours=2), NOW + timedelta(minutes=1)
    with closing(PredictionStore(uri, contract)) as store:
        assert len(store.newest(5)) == 5
        assert len(store.between(start, end)) == 30
        assert len(store.sample(start, end, 10).rows) == 10
        assert store.outcomes(IDS[:1]) == {IDS[0]: 0}
    with ReportStore(uri) as reports:
        reports.save(report())
        assert len(reports.newest(5)) == reports.count() == 1
        assert reports.of_flow_run("another") is None
    with mongo_client(uri) as client:
        head = newest_report(client, report().contract.name)
        assert head is not None
        assert head.html == report().html
        assert newest_report(client, "another") is None
    with closing(HistoryStore(uri, contract.name, 5)) as history:
        assert history.load(start) == []
        history.save([MOMENT])
        history.save([MOMENT])
        assert history.load(start) == [MOMENT]


@pytest.fixture
def queries(
    recorder: QueryRecorder,
    mongo: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> list[Query]:
    """Make the stack send every query that it has."""
    file = tmp_path / "parcels.yaml"
    file.write_text(TEXT.replace("features:", "key: {name: parcel_no}\nfeatures:", 1))
    contract = Contract.load(file)
    settings = Settings(mongo_uri=mongo, contract=file, reports_dir=tmp_path / "reports")
    _keep(mongo, contract)
    _read(mongo, contract)
    monkeypatch.setenv("CONTRACT", str(file))
    monkeypatch.setenv("MONGO_URI", mongo)
    monkeypatch.setattr("sys.argv", ["predictions", "k1"])
    predictions.main()
    assert IDS[1] in capsys.readouterr().out
    kept = KeptPredictions(settings.model_copy(update={"state_dir": tmp_path / "state"}))
    assert kept.by_id(IDS[1])
    assert kept.newest(contract.name, "k1")
    stack = RunningStack(settings, contract)
    assert stack.has_predictions(*IDS[:3])
    assert stack.newest_prediction("api")["_id"] == IDS[5]
    stream = io.BytesIO()
    with ArchiveWriter(stream) as archive:
        counts = save_documents(settings, archive, NOW)
        archive.finish(Manifest(began_at=NOW, mlflow_version="3", counts=counts))
    stream.seek(0)
    unpack(stream, tmp_path / "backup")
    assert counts == {"data": 30, "outcome": 2, "report": 1, "monitoring": 1}
    # Into the same stack: each document is one that was saved twice.
    restored = restore_documents(mongo, tmp_path / "backup")
    assert restored == {name: 2 * count for name, count in counts.items()}
    assert has_documents(mongo)
    prune_database(settings, NOW + timedelta(days=365))
    assert not has_documents(mongo)
    return recorder.queries


def _indexes(uri: str) -> dict[str, list[Index]]:
    """Return the indexes that the stack declares, which are those that it has created."""
    others = {REPORTS: report_store.INDEXES, HISTORY: drift_history.INDEXES}
    declared: dict[str, list[Index]] = {
        name: [
            [("_id", 1)],
            *(
                [(field, int(order)) for field, order in index.document["key"].items()]
                for group in (INDEXES, KEYED_INDEXES, others)
                for index in group.get(name, [])
            ),
        ]
        for name in ("data", "outcome", "report", "monitoring")
    }
    with MongoClient[dict[str, Any]](uri) as client:
        for name, wanted in declared.items():
            there = client[DATABASE][name].index_information().values()
            assert sorted(list(each["key"]) for each in there) == sorted(map(list, wanted))
    return declared


def test_every_query_has_an_index(queries: list[Query], mongo: str) -> None:
    """It is one range of an index, so its time grows with what it finds, not with what is kept."""
    declared = _indexes(mongo)
    without = [
        query
        for query in queries
        if query.place != FIRST_DOCUMENT
        and not any(query.is_served_by(index) for index in declared[query.collection])
    ]
    assert not without
    assert {query.place for query in queries} == places_of_queries()
