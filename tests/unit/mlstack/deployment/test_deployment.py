"""A deploy checks the model, waits for every worker, and is rolled back if one fails."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from mlstack.contract import Contract
from mlstack.deployment import deployer as deployer_module
from mlstack.deployment import watcher as watcher_module
from mlstack.deployment.deployer import Deployer
from mlstack.deployment.record import DeploymentState, Statement
from mlstack.deployment.watcher import ModelWatcher
from mlstack.errors import DeploymentError, ModelError
from mlstack.model.model_store import ModelStore
from mlstack.settings import Settings
from server.stream.metrics import StreamMetrics
from tests.support.api import MemoryLog
from tests.support.models import keep_model
from tests.support.waiting import wait_until

A, B, C, D = "a" * 32, "b" * 32, "c" * 32, "d" * 32


@pytest.fixture
def settings(tmp_path: Path, documented: Contract) -> Settings:
    for seed, run_id in enumerate((A, B, C, D)):
        keep_model(tmp_path, run_id, documented, seed)
    return Settings(state_dir=tmp_path)


@pytest.fixture
def deployer(settings: Settings) -> Deployer:
    return Deployer(settings, ModelStore.of(settings))


@pytest.fixture
def watcher(settings: Settings) -> Iterator[ModelWatcher]:
    watcher = ModelWatcher(settings, "some-server", MemoryLog())
    watcher.start()
    yield watcher
    watcher.stop()


def deployed(deployer: Deployer) -> str | None:
    record = deployer.state.record()
    return record.run_id if record else None


def test_deploy_moves_a_running_worker(deployer: Deployer, watcher: ModelWatcher) -> None:
    """A deploy returns when the running worker serves the new model."""
    deployer.deploy(A)
    wait_until(lambda: watcher.run_id == A, "the worker serves the first model")
    deployer.deploy(B)
    assert watcher.run_id == B


def test_worker_starts_with_the_deployed_model(deployer: Deployer, settings: Settings) -> None:
    """A new worker serves the deployed model."""
    deployer.deploy(A)
    watcher = ModelWatcher(settings, "some-server", MemoryLog())
    watcher.start()
    wait_until(lambda: watcher.run_id == A, "the worker serves the deployed model")
    watcher.stop()


def test_worker_tells_of_itself_before_it_looks(
    deployer: Deployer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deploy waits for every worker that may have read the record before."""
    known = list[int]()
    look = ModelWatcher._look_at_record

    def looking(watcher: ModelWatcher) -> None:
        known.append(len(deployer.state.statements()))
        look(watcher)

    monkeypatch.setattr(ModelWatcher, "_look_at_record", looking)
    watcher = ModelWatcher(settings, "some-server", MemoryLog())
    watcher.start()
    watcher.wait_for_first_look(5)
    watcher.stop()
    assert known[0] == 1


def test_run_id_setting_may_be_a_reference(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server started by hand looks up what RUN_ID names once, and serves it."""
    asked = list[str]()

    def find(run: str) -> str:
        asked.append(run)
        return B

    monkeypatch.setattr(watcher_module, "find_run_id", find)
    given = settings.model_copy(update={"run_id": "models:/churn@champion"})
    watcher = ModelWatcher(given, "some-server", MemoryLog())
    for _ in range(2):
        watcher._look_at_record()
    assert watcher.run_id == B
    assert asked == ["models:/churn@champion", B]


def test_run_id_setting_counts_without_a_deployment(settings: Settings) -> None:
    """Without a deployment record, a worker serves RUN_ID."""
    watcher = ModelWatcher(settings.model_copy(update={"run_id": B}), "some-server", MemoryLog())
    watcher.start()
    wait_until(lambda: watcher.run_id == B, "the worker serves the environment's model")
    watcher.stop()


def test_worker_without_a_model_says_what_to_do(watcher: ModelWatcher) -> None:
    """A worker without a model says how to deploy one."""
    wait_until(lambda: "make deploy" in watcher.reason, "the worker says what to do")
    assert watcher.predictor is None


def test_broken_model_is_refused(
    deployer: Deployer, watcher: ModelWatcher, settings: Settings
) -> None:
    """A broken model is refused before anything is changed."""
    deployer.deploy(A)
    wait_until(lambda: watcher.run_id == A, "the worker serves the first model")
    (settings.state_path / "models" / B / "model.ubj").write_bytes(b"broken")
    with pytest.raises(ModelError, match="is not the file that was trained"):
        deployer.deploy(B)
    assert (deployed(deployer), watcher.run_id) == (A, A)
    assert deployer.state.history()[-1].result.startswith("rejected")


def test_model_of_another_contract_is_refused(
    deployer: Deployer, settings: Settings, full: Contract
) -> None:
    """A model of another contract is refused."""
    other = "e" * 32
    keep_model(settings.state_path, other, full, seed=1)
    with pytest.raises(ModelError, match="another contract"):
        deployer.deploy(other)
    assert deployed(deployer) is None


def test_worker_that_refuses_restores_the_old_model(deployer: Deployer, settings: Settings) -> None:
    """If a worker cannot serve the model, the old one is deployed again."""
    deployer.deploy(A)
    follower = _Follower(settings, refuses=B)
    with follower, pytest.raises(DeploymentError, match=r"cannot serve.*out of memory"):
        deployer.deploy(B)
    assert deployed(deployer) == A
    assert deployer.state.history()[-1].result.startswith("rolled back")


def test_worker_that_hangs_restores_the_old_model(
    deployer: Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a worker does not follow in time, the old model is deployed again."""
    monkeypatch.setattr(deployer_module, "_FOLLOW_SECONDS", 0.3)
    deployer.state.write_statement(Statement(server="s", worker="1", run_id=None))
    with pytest.raises(DeploymentError, match="did not switch to the new model"):
        deployer.deploy(A)
    assert deployed(deployer) is None


def test_failed_deploy_waits_for_the_old_model(
    deployer: Deployer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it returns, a worker that had switched serves the old model again."""
    served = list[str | None]()
    watcher = ModelWatcher(settings, "some-server", MemoryLog(), served.append)
    watcher.start()
    deployer.deploy(A)
    deployer.state.write_statement(Statement(server="s", worker="hangs", run_id=A))
    monkeypatch.setattr(deployer_module, "_FOLLOW_SECONDS", 1.2)
    with pytest.raises(DeploymentError, match="did not switch to the new model"):
        deployer.deploy(B)
    assert (served, watcher.run_id) == ([A, B, A], A)
    watcher.stop()


def test_refused_model_can_be_deployed_again(
    deployer: Deployer, settings: Settings, watcher: ModelWatcher
) -> None:
    """A worker tries a model that it refused before when it is deployed again."""
    deployer.deploy(A)
    broken = settings.state_path / "models" / B
    (broken / "model.ubj").rename(broken / "away")
    deployer.state.write_record(B, "a deploy that fails")
    wait_until(lambda: "missing" in watcher.reason, "the worker refuses it")
    deployer.state.write_record(A, "back")
    (broken / "away").rename(broken / "model.ubj")
    deployer.deploy(B)
    assert watcher.run_id == B


def test_worker_drops_a_first_model_taken_back(deployer: Deployer, settings: Settings) -> None:
    """When a first deployment is rolled back, workers serve no model any more."""
    metrics, told = StreamMetrics(), list[str | None]()

    def swapped(run_id: str | None) -> None:
        metrics.model_loaded(run_id)
        told.append(run_id)

    watcher = ModelWatcher(settings, "some-server", MemoryLog(), swapped)
    watcher.start()
    deployer.deploy(A)
    wait_until(lambda: told == [A], "the metrics are told of the model")
    deployer.state.remove_record()
    wait_until(lambda: told == [A, None], "the metrics are told that there is none")
    assert watcher.predictor is None
    assert "no model is deployed" in watcher.reason
    assert b"mlstack_model_loaded{" not in generate_latest(metrics.registry)
    watcher.stop()


@pytest.mark.parametrize("step", [0, -7200])
def test_dead_worker_is_not_waited_for(
    deployer: Deployer, settings: Settings, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """A deploy does not wait for a dead worker, even if the clock was set back since."""
    ticking = time.monotonic
    with monkeypatch.context() as an_hour_ago:
        an_hour_ago.setattr(time, "monotonic", lambda: ticking() - 3600)
        deployer.state.write_statement(Statement(server="s", worker="dead", run_id=None))
    (path,) = (settings.state_path / "serving").glob("*.json")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + step)
    deployer.deploy(A)
    assert deployed(deployer) == A
    assert not path.exists()


def test_living_worker_outlives_clock_step(
    deployer: Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is set forward makes no worker look dead."""
    deployer.state.write_statement(Statement(server="s", worker="1", run_id=None))
    stepped = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: stepped)
    assert [each.worker for each in deployer.state.statements()] == ["1"]


def test_statement_of_release_before_is_read(deployer: Deployer, settings: Settings) -> None:
    """It has no stamp: the file's time counts."""
    folder = settings.state_path / "serving"
    folder.mkdir(parents=True)
    for name, age in (("1", 0), ("dead", 3600)):
        path = folder / f"s-{name}.json"
        path.write_text(f'{{"server": "s", "worker": "{name}", "run_id": null}}')
        os.utime(path, (time.time() - age, time.time() - age))
    assert [each.worker for each in deployer.state.statements()] == ["1"]


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"\xff", b"{"])
def test_damaged_statement_is_dropped(
    deployer: Deployer, settings: Settings, content: bytes
) -> None:
    """It is not synced, so a power failure may empty it; a running worker writes it again."""
    deployer.state.write_statement(Statement(server="s", worker="1", run_id=None))
    path = settings.state_path / "serving" / "s-2.json"
    path.write_bytes(content)
    assert [each.worker for each in deployer.state.statements()] == ["1"]
    assert not path.exists()


@pytest.mark.parametrize("name", ["deployment.json", "deployments.jsonl"])
def test_record_that_is_no_text_is_an_error(settings: Settings, name: str) -> None:
    settings.state_path.mkdir(parents=True, exist_ok=True)
    (settings.state_path / name).write_bytes(b"\xff\n")
    state = DeploymentState(settings.state_path)
    with pytest.raises(DeploymentError, match="is not a deployment"):
        state.record() if name == "deployment.json" else state.history()


def test_two_deploys_at_once_are_refused(settings: Settings) -> None:
    """While one process holds the lock, another deploy is refused."""
    one, another = DeploymentState(settings.state_path), DeploymentState(settings.state_path)
    refused = pytest.raises(DeploymentError, match="in progress")
    with one.lock(), refused, another.lock(seconds=0):
        pass


def test_deploy_waits_for_the_lock(deployer: Deployer, settings: Settings) -> None:
    """A deploy waits for a process that holds the lock for a moment."""
    with ThreadPoolExecutor(1) as pool:
        with DeploymentState(settings.state_path).lock():
            waiting = pool.submit(deployer.deploy, A)
            # Whoever refuses does it at once.
            assert not wait([waiting], timeout=0.3).done
        waiting.result()
    assert deployed(deployer) == A


def test_rollback_goes_back_step_by_step(deployer: Deployer) -> None:
    """Each rollback goes one deployment further back, until there is none."""
    for run_id in (A, B, C):
        deployer.deploy(run_id)
    assert [deployer.rollback(), deployer.rollback()] == [B, A]
    assert deployed(deployer) == A
    with pytest.raises(DeploymentError, match="no earlier deployment"):
        deployer.rollback()


def test_repeated_deploy_is_one_rollback_step(deployer: Deployer) -> None:
    """A run deployed twice in a row is one step of a rollback."""
    for run_id in (A, B, B):
        deployer.deploy(run_id)
    assert deployer.rollback() == A


def test_rollback_after_a_killed_deploy(
    deployer: Deployer,
) -> None:
    """After a deploy was killed, a rollback goes to the run before it."""
    for run_id in (A, B):
        deployer.deploy(run_id)
    deployer.state.write_record(C, "a deploy that died right after this")
    assert deployer.rollback() == B
    deployer.deploy(D)
    assert deployer.rollback() == B


def test_broken_history_is_reported(deployer: Deployer, settings: Settings) -> None:
    """A broken history is reported before anything is changed."""
    deployer.deploy(A)
    history = settings.state_path / "deployments.jsonl"
    good = history.read_text()
    history.write_text(good + '{"at": "2026')
    with pytest.raises(DeploymentError, match=r"deployments\.jsonl, line 2, is not a deployment"):
        deployer.deploy(B)
    assert deployed(deployer) == A
    history.write_text(good.rstrip())
    deployer.deploy(B)
    assert [entry.to_run_id for entry in deployer.state.history()] == [A, B]


def test_rollback_skips_failed_deployments(deployer: Deployer, settings: Settings) -> None:
    """A rollback skips deployments that failed."""
    deployer.deploy(A)
    deployer.deploy(B)
    (settings.state_path / "models" / C / "model.ubj").write_bytes(b"broken")
    with pytest.raises(ModelError):
        deployer.deploy(C)
    assert deployer.rollback() == A


def test_ensure_deploys_once(deployer: Deployer) -> None:
    """`ensure` deploys the chosen run once."""
    assert [deployer.ensure(A), deployer.ensure(A), deployer.ensure("")] == [A, A, A]
    assert len(deployer.state.history()) == 1


def test_ensure_without_any_run_says_what_to_do(deployer: Deployer) -> None:
    """Without a choice and a deployment, the error says how to choose."""
    with pytest.raises(DeploymentError, match=r"RUN_ID.*make deploy"):
        deployer.ensure("")


def test_broken_record_is_reported(watcher: ModelWatcher, settings: Settings) -> None:
    """A worker reports a record that cannot be read."""
    (settings.state_path / "deployment.json").write_text("{}")
    wait_until(lambda: "is not a deployment record" in watcher.reason, "the worker says so")


def test_model_is_tried_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker tries a model again that it could not load."""
    monkeypatch.setattr("mlstack.deployment.watcher._RETRY_SECONDS", 0.2)
    broken = settings.state_path / "models" / A
    (broken / "model.ubj").rename(broken / "away")
    watcher = ModelWatcher(settings.model_copy(update={"run_id": A}), "some-server", MemoryLog())
    watcher.start()
    wait_until(lambda: "missing" in watcher.reason, "the worker says what is missing")
    (broken / "away").rename(broken / "model.ubj")
    wait_until(lambda: watcher.run_id == A, "the worker looks again")
    watcher.stop()


class _Follower:
    """A worker that follows the record, but for one model."""

    def __init__(self, settings: Settings, refuses: str) -> None:
        self._state, self._refuses = DeploymentState(settings.state_path), refuses
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> None:
        self._thread.start()
        wait_until(self._state.statements, "the worker says what it serves")

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _follow(self) -> None:
        serving: str | None = None
        while not self._stopping.wait(0.05):
            record = self._state.record()
            wanted = record.run_id if record else None
            refused = wanted if wanted == self._refuses else None
            serving = serving if refused else wanted
            self._state.write_statement(
                Statement(
                    server="s",
                    worker="1",
                    run_id=serving,
                    refused=record if refused else None,
                    reason="out of memory" if refused else None,
                )
            )
