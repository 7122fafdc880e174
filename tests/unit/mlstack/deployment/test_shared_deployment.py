"""Machines that share a deployment record in S3 follow one deployment, all of them or none."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws
from moto.s3.models import s3_backends

from mlstack.contract import Contract
from mlstack.deployment import deployer as deployer_module
from mlstack.deployment import member as member_module
from mlstack.deployment.deployer import Deployer
from mlstack.deployment.member import DeploymentMember
from mlstack.deployment.record import DeploymentState, Record, Statement
from mlstack.deployment.shared_objects import SharedDocument, SharedObjects, Version
from mlstack.deployment.shared_state import SharedState
from mlstack.errors import DeploymentError, Overtaken, RecordUnavailable, SettingsError
from mlstack.model.model_store import ModelStore
from mlstack.s3_address import S3Address
from mlstack.settings import ROOT, Settings
from mlstack.waiting import Stop
from tests.support.aws import KEYS
from tests.support.models import keep_model
from tests.support.waiting import wait_until

A, B = "a" * 32, "b" * 32
FOLDER = S3Address("bucket", "deployment")


class Machine:
    """A machine with a member, one worker, and a wire to S3 that can be cut."""

    def __init__(self, folder: Path, models: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "models").symlink_to(models)
        self.settings = Settings(state_dir=folder, deployment_record=FOLDER)
        self.local, self.refuses = DeploymentState(folder), ""
        self.cut, self.serves = False, ""
        self.on_switch: Callable[[], object] = lambda: None
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(boto3, "client", self._client(boto3.client))
            self.member = DeploymentMember(self.settings, FOLDER)
            self.deployer = Deployer(self.settings, ModelStore.of(self.settings))
        self._stopping, self._thread = threading.Event(), threading.Thread(target=self._run)

    @property
    def name(self) -> str:
        """Its name among the machines."""
        return self.member._name

    def start(self) -> "Machine":
        """Start member and worker."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Kill both."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _client(self, make: Any) -> Callable[..., Any]:
        def connected(*args: Any, **options: Any) -> Any:
            client = make(*args, **options)
            client.meta.events.register("before-send.s3", self._send)
            return client

        return connected

    def _send(self, **_: Any) -> None:
        if self.cut:
            raise EndpointConnectionError(endpoint_url="http://s3")

    def _run(self) -> None:
        while not self._stopping.wait(0.05):
            with suppress(DeploymentError):
                self.member.turn()
            record = self.local.record()
            wanted = record.run_id if record else ""
            refused = bool(wanted) and wanted == self.refuses
            if not refused and self.serves != wanted:
                self.serves = wanted
                self.on_switch()
            self.local.write_statement(
                Statement(
                    server="some-server",
                    worker="1",
                    run_id=self.serves or None,
                    refused=record if refused else None,
                    reason="out of memory" if refused else None,
                )
            )


@pytest.fixture(scope="module", autouse=True)
def _s3() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        for name, value in KEYS.items():
            patched.setenv(name, value)
        with mock_aws():
            boto3.client("s3").create_bucket(Bucket=FOLDER.bucket)
            yield


@pytest.fixture(autouse=True)
def _empty_bucket() -> Iterator[None]:
    yield
    _keys().clear()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of two models."""
    folder = tmp_path_factory.mktemp("state")
    contract = Contract.load(ROOT / "contracts" / "credit_card_churn.yaml")
    for seed, run_id in enumerate((A, B)):
        keep_model(folder, run_id, contract, seed)
    return folder / "models"


@pytest.fixture
def machines(tmp_path: Path, models: Path) -> Iterator[list[Machine]]:
    """Two machines that do not run yet."""
    both = [Machine(tmp_path / name, models) for name in ("one", "two")]
    yield both
    for machine in both:
        machine.stop()


def grow_old(name: str, seconds: float) -> None:
    """Make an object in S3 older."""
    _keys()[f"{FOLDER.key}/{name}"].last_modified -= timedelta(seconds=seconds)


def _keys() -> Any:
    backend: Any = s3_backends["123456789012"]["aws"]
    return backend.buckets[FOLDER.bucket].keys


def deployed() -> str | None:
    """The run in the shared record."""
    version = SharedObjects(FOLDER).read()
    return version.document.record.run_id if version and version.document.record else None


def is_member(machine: Machine) -> bool:
    """Whether the others know of a machine and its worker."""
    found = {each.name: len(each.statements) for each in SharedObjects(FOLDER).members()}
    return found.get(machine.name) == len(("member", "worker"))


def start(*machines: Machine) -> None:
    """Start machines and wait until they are members."""
    for machine in machines:
        machine.start()
    wait_until(lambda: all(map(is_member, machines)), "all are members")


def test_deploy_and_rollback_reach_every_machine(machines: list[Machine]) -> None:
    """Both serve the same model when either command returns, wherever it was given."""
    one, two = machines
    start(one, two)
    one.deployer.deploy(A)
    assert (one.serves, two.serves) == (A, A)
    two.deployer.deploy(B)
    assert (one.serves, two.serves) == (B, B)
    assert one.deployer.rollback() == A
    assert (one.serves, two.serves) == (A, A)
    told = one.deployer.state.reached()
    assert told.startswith("machines that follow it: ")
    assert one.name in told
    assert two.name in told
    assert "left out" not in told


def test_machine_that_refuses_puts_all_back(machines: list[Machine]) -> None:
    """The deploy names the machine and its reason, and every machine has the old model."""
    one, two = machines
    two.refuses = B
    start(one, two)
    one.deployer.deploy(A)
    with pytest.raises(DeploymentError, match=r"cannot serve.*out of memory; the old") as raised:
        one.deployer.deploy(B)
    assert f"some-server of {two.name}" in str(raised.value)
    assert (deployed(), one.serves, two.serves) == (A, A, A)
    last = one.deployer.state.history()[-1]
    assert last.result.startswith("rolled back: some-server of")
    wait_until(lambda: two.local.history()[-1:] == [last], "the other machine knows of it")


def test_late_machine_serves_the_deployed_model(machines: list[Machine]) -> None:
    """It gets record and history, so that a rollback may be started on it."""
    one, two = machines
    start(one)
    for run_id in (A, B):
        one.deployer.deploy(run_id)
    start(two)
    wait_until(lambda: two.serves == B, "it serves what is deployed")
    assert two.local.deployed_runs() == [A, B]
    assert two.deployer.rollback() == A
    assert one.serves == A


def test_cut_off_machine_is_left_out_and_catches_up(machines: list[Machine]) -> None:
    """After its lease has expired a deploy says so and does not wait for it."""
    one, two = machines
    start(one, two)
    one.deployer.deploy(A)
    two.cut = True
    grow_old(f"members/{two.name}.json", 60)
    one.deployer.deploy(B)
    assert (one.serves, two.serves) == (B, A)
    assert f"left out until they reach S3 again: {two.name} (no sign of life for 6" in (
        one.deployer.state.reached()
    )
    two.cut = False
    wait_until(lambda: two.serves == B, "it catches up")


def test_machine_may_die_in_the_middle(machines: list[Machine]) -> None:
    """A deploy waits for it until its lease expires, and no longer."""
    one, two = machines
    start(one, two)
    one.deployer.deploy(A)
    two.stop()
    with ThreadPoolExecutor(1) as pool:
        deploying = pool.submit(one.deployer.deploy, B)
        wait_until(lambda: one.serves == B, "the other one has switched")
        assert not deploying.done()
        grow_old(f"members/{two.name}.json", 15)
        deploying.result(timeout=10)
    assert f"left out until they reach S3 again: {two.name}" in one.deployer.state.reached()


def test_machine_that_left_is_not_mentioned(machines: list[Machine]) -> None:
    """One that was stopped is neither waited for nor left out."""
    one, two = machines
    start(one, two)
    two.stop()
    two.member.leave()
    one.deployer.deploy(A)
    assert one.deployer.state.reached() == f"machines that follow it: {one.name}"


def test_second_deploy_at_once_is_refused(machines: list[Machine]) -> None:
    """While one machine deploys, another one says by whom and until when."""
    one, two = (machine.deployer for machine in machines)
    with one.state.lock():
        with pytest.raises(DeploymentError, match=r"in progress, by \S+; try again .* [89]\d s"):
            two.deploy(A)
        assert deployed() is None
    two.deploy(A)
    assert deployed() == A


def test_killed_deploy_is_overtaken(machines: list[Machine]) -> None:
    """Its lock expires; if it was only frozen, it changes nothing any more."""
    one, two = (machine.deployer for machine in machines)
    with one.state.lock():
        grow_old("deployment.json", 90)
        two.deploy(A)
        with pytest.raises(Overtaken, match="another deployment has replaced"):
            one.state.write_record(B, "a frozen one")
    assert deployed() == A


def test_deploys_that_begin_together_are_one(
    machines: list[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both saw no lock: S3 lets only one of them write its own."""
    one, two = (machine.deployer for machine in machines)
    read = SharedObjects.read

    def slow(shared: SharedObjects, known: Version | None = None) -> Version | None:
        found = read(shared, known)
        monkeypatch.setattr(SharedObjects, "read", read)
        two.deploy(A)
        return found

    monkeypatch.setattr(SharedObjects, "read", slow)
    with pytest.raises(DeploymentError, match="began at the same moment"):
        one.deploy(B)
    assert deployed() == A


@pytest.mark.parametrize("repeated", [True, False])
def test_lost_answer_of_a_write_is_recognised(
    monkeypatch: pytest.MonkeyPatch, *, repeated: bool
) -> None:
    """S3 has carried out a request whose answer was lost, and refuses its repetition."""
    shared, put = SharedObjects(FOLDER), SharedObjects._put
    old = shared.write(SharedDocument(), None)

    def lossy(each: SharedObjects, *args: Any, **options: Any) -> str:
        put(each, *args, **options)
        if repeated:
            return put(each, *args, **options)
        raise EndpointConnectionError(endpoint_url="http://s3")

    with monkeypatch.context() as lost:
        lost.setattr(SharedObjects, "_put", lossy)
        if repeated:
            old = shared.write(SharedDocument(deploying="ana"), old)
        else:
            with pytest.raises(RecordUnavailable, match="S3 cannot be reached"):
                shared.write(SharedDocument(deploying="ana"), old)
    new = shared.write(SharedDocument(deploying="eve"), old)
    assert shared.read() == new
    with pytest.raises(Overtaken):
        SharedObjects(FOLDER).write(SharedDocument(), old)


def test_s3_away_leaves_the_local_copy(
    machines: list[Machine], caplog: pytest.LogCaptureFixture
) -> None:
    """Servers go on, what is deployed is known, and a deploy is refused."""
    one, two = machines
    start(one, two)
    one.deployer.deploy(A)
    one.cut = True
    assert one.deployer.ensure("") == A
    assert "S3 cannot be reached" in caplog.text
    assert "using this machine's copy of the record" in caplog.text
    with pytest.raises(RecordUnavailable, match="S3 cannot be reached"):
        one.deployer.deploy(B)
    assert (one.serves, two.serves) == (A, A)


def test_s3_away_in_the_middle_says_what_is_known(
    machines: list[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record may name the new run; the next deploy decides."""
    one, two = machines
    start(one, two)
    one.deployer.deploy(A)
    write = SharedState.write_record

    def written_last(state: SharedState, run_id: str, by: str) -> Record:
        record = write(state, run_id, by)
        one.cut = True
        return record

    with monkeypatch.context() as lost:
        lost.setattr(SharedState, "write_record", written_last)
        lost.setattr(deployer_module, "_FOLLOW_SECONDS", 0.5)
        with pytest.raises(
            DeploymentError, match=r"cannot be asked.*could not be put back"
        ) as raised:
            one.deployer.deploy(B)
    assert f"may now name run {B}" in str(raised.value)
    wait_until(lambda: two.serves == B, "who reaches S3 follows the record")
    one.cut = False
    grow_old("deployment.json", 90)
    assert two.deployer.rollback() == A
    assert (one.serves, two.serves) == (A, A)


def test_short_outage_in_the_middle_is_waited_for(machines: list[Machine]) -> None:
    """A deploy goes on when S3 is back."""
    one, two = machines
    start(one, two)
    timer = threading.Timer(1, lambda: setattr(one, "cut", False))

    def fail() -> None:
        one.cut = True
        timer.start()

    one.on_switch = fail
    one.deployer.deploy(A)
    timer.join()
    assert (one.serves, two.serves) == (A, A)


def test_first_machine_brings_its_record(tmp_path: Path, models: Path) -> None:
    """So it is after an upgrade, a restore, or when an emulator has forgotten everything."""
    machine = Machine(tmp_path, models)
    own = Deployer(Settings(state_dir=tmp_path), machine.deployer._models)
    for run_id in (A, B):
        own.deploy(run_id)
    for _ in range(2):
        machine.member.turn()
        version = SharedObjects(FOLDER).read()
        assert version is not None
        assert version.document.record == own.state.record()
        assert list(version.document.history) == own.state.history()
        boto3.client("s3").delete_object(Bucket=FOLDER.bucket, Key=f"{FOLDER.key}/deployment.json")
    assert machine.deployer.state.deployed_runs() == [A, B]


def test_first_deploy_taken_back_removes_the_record(machines: list[Machine]) -> None:
    """Every machine is without a model again."""
    one, two = machines
    two.refuses = A
    start(one, two)
    with pytest.raises(DeploymentError, match="out of memory"):
        one.deployer.deploy(A)
    wait_until(lambda: one.local.record() is None, "the copy is gone")
    assert deployed() is None


def test_unreadable_record_is_reported(machines: list[Machine]) -> None:
    """Machines keep their copy of the last one that could be read."""
    one, _ = machines
    one.deployer.deploy(A)
    one.member.turn()
    boto3.client("s3").put_object(
        Bucket=FOLDER.bucket, Key=f"{FOLDER.key}/deployment.json", Body=b"{}x"
    )
    for use in (one.member.turn, lambda: one.deployer.deploy(B)):
        with pytest.raises(DeploymentError, match="is not a deployment record"):
            use()
    record = one.local.record()
    assert record is not None
    assert record.run_id == A


def test_missing_bucket_is_named(tmp_path: Path) -> None:
    """The message says who creates it."""
    state = SharedState(tmp_path, S3Address("other", "folder"))
    with pytest.raises(RecordUnavailable, match="no bucket other; make init_aws"):
        state.statements()


def test_member_stops_and_says_so(machines: list[Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its heartbeat is there while S3 answers; then it leaves."""
    one, _ = machines
    monkeypatch.setattr(member_module, "_LOOK_SECONDS", 0.05)
    stop = Stop()
    thread = threading.Thread(target=member_module.follow, args=(one.settings, stop))
    thread.start()
    beat = one.settings.state_path / "deployment" / "heartbeat"
    wait_until(beat.exists, "it beats")
    assert [member.name for member in SharedObjects(FOLDER).members()] == [one.name]
    stop.request()
    thread.join()
    assert not beat.exists()
    assert SharedObjects(FOLDER).members() == []


def test_member_without_the_setting_ends(tmp_path: Path) -> None:
    """There is nothing to follow."""
    with pytest.raises(SettingsError, match="DEPLOYMENT_RECORD is empty"):
        member_module.follow(Settings(state_dir=tmp_path), Stop())
