"""Pruning of local files, and of everything together."""

import os
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dotenv import dotenv_values

from mlstack.deployment.record import DEPLOYED, DeploymentState, HistoryEntry, Statement
from mlstack.errors import MlstackError
from mlstack.prediction_log.entry import Entry
from mlstack.prediction_log.quarantine import Quarantine, Rejected
from mlstack.settings import ROOT, Settings
from operations.maintenance import MaintenanceError, maintenance
from operations.retention import local_files
from operations.retention import prune as pruning
from operations.retention.local_files import (
    prune_copies,
    prune_leftovers,
    prune_logs,
    prune_quarantine,
)
from operations.retention.prune import PruningFailed, prune
from operations.retention.prune_flow import FLOW, retention, retention_schedule
from operations.retention.removal import Removal, deployments_paused, runs_in_use
from operations.retention.tracking import _remove_empty_folders

NOW = datetime.now(UTC)
A, B, C, D, E = (letter * 32 for letter in "abcde")


def _write(path: Path, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 1000)
    at = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (at, at))
    return path


def _deploy(
    state: DeploymentState,
    run_id: str,
    action: str = "deploy",
    *,
    replaced: str | None = None,
    days_ago: float = 200,
    result: str = DEPLOYED,
) -> None:
    state.write_record(run_id, "test")
    state.add_to_history(
        HistoryEntry.model_validate(
            {
                "at": NOW - timedelta(days=days_ago),
                "by": "test",
                "action": action,
                "from_run_id": replaced,
                "to_run_id": run_id,
                "result": result,
            }
        )
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        state_dir=tmp_path / "state", logs_dir=tmp_path / "logs", keep_deployed_models=2
    )


def test_deployed_and_rollback_runs_are_in_use(settings: Settings) -> None:
    state = DeploymentState(settings.state_path)
    for run_id in (A, B, C, D):
        _deploy(state, run_id)
    assert runs_in_use(settings) == {B, C, D}
    chosen = settings.model_copy(update={"run_id": E})
    assert runs_in_use(chosen) == {B, C, D}, "the agent that prunes has no RUN_ID"


def test_runs_that_made_kept_predictions_are_in_use(settings: Settings) -> None:
    """Those that were deployed while predictions were made that are still kept."""
    state = DeploymentState(settings.state_path)
    longest = settings.model_copy(update={"keep_predictions_days": 50, "keep_quarantine_days": 10})
    _deploy(state, A, days_ago=52)
    _deploy(state, B, replaced=A, days_ago=51.5)
    _deploy(state, C, replaced=B, days_ago=50.5)
    _deploy(state, D, replaced=C, days_ago=40, result="a worker could not load it")
    for number in range(5):
        _deploy(state, f"{number:032}", replaced=C, days_ago=0)
    assert runs_in_use(longest) & {A, B, C, D} == {B, C, D}
    quarantined = longest.model_copy(
        update={"keep_predictions_days": 1, "keep_quarantine_days": 52}
    )
    assert runs_in_use(quarantined) & {A, B, C, D} == {A, B, C, D}


def test_rollback_keeps_earlier_runs_in_use(settings: Settings) -> None:
    state = DeploymentState(settings.state_path)
    for run_id in (A, B, C, D):
        _deploy(state, run_id)
    _deploy(state, C, "rollback")
    assert runs_in_use(settings) == {A, B, C}


def test_prune_copies_keeps_runs_in_use(settings: Settings) -> None:
    state, models = DeploymentState(settings.state_path), settings.state_path / "models"
    _deploy(state, A)
    _deploy(state, B)
    for run_id, days in ((A, 100), (B, 100), (C, 100), (D, 1)):
        folder = _write(models / run_id / "model.ubj", days).parent
        at = (NOW - timedelta(days=days)).timestamp()
        os.utime(folder, (at, at))
        _write(models / f"{run_id}.lock", days)
        _write(models / f"{run_id}.safetensors", days)
        _write(settings.state_path / "references" / f"{run_id}-{'0' * 64}.csv", days)
    removed = {each.what: each for each in prune_copies(settings, NOW)}
    assert {path.name for path in models.iterdir()} == {
        *(A, B, D),
        *(f"{run_id}.lock" for run_id in (A, B, D)),
        *(f"{run_id}.safetensors" for run_id in (A, B, C, D)),
    }
    assert {path.name[:32] for path in (settings.state_path / "references").iterdir()} == {A, B, D}
    assert [removed["copies of models"].count, removed["copies of training rows"].count] == [1, 1]
    assert removed["copies of training rows"].freed == 1000


def test_prune_copies_keeps_run_deployed_meanwhile(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, copies = DeploymentState(settings.state_path), settings.state_path / "references"
    for run_id in (A, B, C):
        _write(copies / f"{run_id}-{'0' * 64}.csv", days=100)
    remove = local_files._remove

    def removing(path: Path) -> int:
        state.write_record(C, "somebody")
        return remove(path)

    monkeypatch.setattr(local_files, "_remove", removing)
    prune_copies(settings, NOW)
    assert [path.name[:32] for path in copies.iterdir()] == [C]


def test_deployment_gets_turn_during_pruning(settings: Settings) -> None:
    pruned, stop = threading.Event(), threading.Event()

    def prune_for_long() -> None:
        while not stop.is_set():
            with deployments_paused(settings):
                time.sleep(0.05)  # as long as removing a run takes
                pruned.set()

    thread = threading.Thread(target=prune_for_long)
    thread.start()
    try:
        for _ in range(10):
            pruned.clear()
            assert pruned.wait(10)
            with DeploymentState(settings.state_path).lock(seconds=5):
                assert thread.is_alive()
    finally:
        stop.set()
        thread.join()


def test_prune_leftovers_keeps_those_of_live_servers(settings: Settings) -> None:
    state = settings.state_path
    DeploymentState(state).write_statement(
        Statement(server="api", worker="living-1-17", run_id=None)
    )
    for name in ("somebody", "9696"):
        (state / "metrics" / name).mkdir(parents=True)
        os.utime(state / "metrics" / name, (0, 0))
    for host, days in (("killed", 100), ("lately", 1), ("living-1", 100)):
        counts = _write(state / "metrics" / f"predict-api-{host}-9696" / "c.db", days).parent
        at = (NOW - timedelta(days=days)).timestamp()
        os.utime(counts, (at, at))
    for name, days in (("heartbeat-killed", 100), ("heartbeat-lately", 1), ("shards", 100)):
        _write(state / "stream" / name, days)
        _write(state / "simulation" / name, days)
    (removed,) = prune_leftovers(settings, NOW)
    assert (removed.count, removed.freed) == (3, 3000)
    left = {path.name for path in (state / "metrics").iterdir()}
    assert left == {"predict-api-lately-9696", "predict-api-living-1-9696", "somebody", "9696"}
    for folder in (state / "stream", state / "simulation"):
        assert {path.name for path in folder.iterdir()} == {"heartbeat-lately", "shards"}


def test_prune_goes_on_if_a_file_is_renamed_meanwhile(settings: Settings) -> None:
    """A heartbeat that is being written is listed, and then gone; here it is a dangling link."""
    killed = _write(settings.state_path / "stream" / "heartbeat-killed", days=100)
    killed.with_name("heartbeat-living.new").symlink_to("gone")
    (removed,) = prune_leftovers(settings, NOW)
    assert removed.count == 1
    assert not killed.exists()


def test_prune_logs_removes_only_closed_files(settings: Settings, tmp_path: Path) -> None:
    stay = ("mlflow.log", "access.log.1", "mlflow.log.1.gz", "supervisord.log")
    for name in (*stay, "mlflow.log.1", "supervisord.log.1"):
        _write(tmp_path / "logs" / name, days=100)
    _write(tmp_path / "logs" / "aws.log.1", days=1)
    (removed,) = prune_logs(settings, NOW)
    assert (removed.count, removed.freed) == (2, 2000)
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {*stay, "aws.log.1"}
    assert prune_logs(settings.model_copy(update={"logs_dir": None}), NOW) == []


def test_prune_leaves_logs_of_others(settings: Settings, tmp_path: Path) -> None:
    """A folder without supervisord's log is not the stack's, whatever the files' names."""
    log = _write(tmp_path / "logs" / "mongo.log.1", days=100)
    assert prune_logs(settings, NOW) == []
    assert log.exists()


def test_prune_leaves_empty_folders_of_others(tmp_path: Path) -> None:
    """Only folders of MLflow's experiments, which have a number, are removed."""
    for name in ("drafts/2025", "1/0a/artifacts"):
        (tmp_path / name).mkdir(parents=True)
    for path in tmp_path.rglob("*"):
        os.utime(path, (0, 0))
    _remove_empty_folders(tmp_path, NOW)
    assert (tmp_path / "drafts/2025").is_dir()
    assert not (tmp_path / "1/0a/artifacts").exists()


def test_failing_part_does_not_stop_others(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Settings, __: datetime) -> list[Removal]:
        raise MlstackError("MLflow is away")

    monkeypatch.setattr(pruning, "_PARTS", (broken, lambda *_: [Removal("things", 3, 30, 5_000)]))
    said: list[str] = []
    with pytest.raises(PruningFailed, match="MLflow is away"):
        prune(settings, said.append)
    assert [line.split() for line in said] == [
        ["things", "3", "removed,", "0.0", "MB", "(kept", "30", "days)"]
    ]


def test_prune_gives_up_on_long_backup(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "_PATIENCE_SECONDS", 0.1)
    with maintenance(settings.state_path), pytest.raises(MaintenanceError, match="is running"):
        prune(settings, print)


def test_applied_flow_is_the_pruning_flow() -> None:
    schedule = retention_schedule()
    assert schedule.flow == retention.name == FLOW
    assert schedule.entrypoint == f"operations/retention/prune_flow.py:{retention.fn.__name__}"
    assert schedule.every_minutes == 24 * 60


@pytest.mark.parametrize("environment", ["embedded", "local", "cloud"])
def test_documented_periods_match_environments(environment: str) -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"(?m)^\| `(KEEP_\w+)` \| ([^|]+) \|", text))
    values = dotenv_values(ROOT / f".env.{environment}")
    if environment != "embedded":
        del documented["KEEP_LOGS_DAYS"]  # the engine keeps the containers' logs
    assert documented.keys() | {"KEEP_DEPLOYED_MODELS"} == {n for n in values if "KEEP_" in n}
    for name, days in documented.items():
        of_each = {where: each for each, where in re.findall(r"(\d+) (\w+)", days)}
        assert values[name] == of_each.get(environment, days), name
    assert f"`KEEP_DEPLOYED_MODELS` ({values['KEEP_DEPLOYED_MODELS']})" in text


def test_prune_quarantine_keeps_what_is_new(settings: Settings) -> None:
    """Entries leave quarantine after their own number of days."""
    quarantine = Quarantine(settings.quarantine_path)
    quarantine.add([Rejected(Entry(1, "prediction", b"{", 0.0), "it is no JSON")], "api")
    now = datetime.now(UTC)
    (removed,) = prune_quarantine(settings, now + timedelta(days=89))
    assert (removed.count, quarantine.count()) == (0, 1)
    (removed,) = prune_quarantine(settings, now + timedelta(days=91))
    assert (removed.count, quarantine.count()) == (1, 0)
