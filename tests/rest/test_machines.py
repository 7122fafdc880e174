"""Two machines, as processes, share a deployment record in an emulator of S3."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import boto3
import pytest

from mlstack.contract import Contract
from mlstack.deployment.deployer import Deployer
from mlstack.deployment.record import DeploymentState
from mlstack.errors import DeploymentError
from mlstack.model.model_store import ModelStore
from mlstack.s3_address import S3Address
from mlstack.settings import Settings
from tests.support.api_server import ApiServer
from tests.support.aws import Emulator
from tests.support.models import keep_model
from tests.support.service_process import ServiceProcess
from tests.support.waiting import wait_until

A, B, C = "a" * 32, "b" * 32, "c" * 32
_BACK = "works again"
FOLDER = S3Address("machines", "deployment")


class Machine:
    """A state folder with a server and a member; C is only known to a machine that `has_all`."""

    def __init__(
        self, state: Path, contract: Contract, emulator: Emulator, *, has_all: bool
    ) -> None:
        for seed, run_id in enumerate((A, B, C) if has_all else (A, B)):
            keep_model(state, run_id, contract, seed)
        self.settings = Settings(state_dir=state, deployment_record=FOLDER)
        self.local = DeploymentState(state)
        # MLflow, which would have C, is away.
        more = {"API_WORKERS": "1", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
        self.server = ApiServer(state, awaited="/health/live", **more)
        self.member = ServiceProcess(
            "mlstack.deployment.member",
            "KEEPER_METRICS_PORT",
            state,
            DEPLOYMENT_RECORD=str(FOLDER),
            **emulator.environment,
        )

    @property
    def deployer(self) -> Deployer:
        """As a make target on this machine has it."""
        return Deployer(self.settings, ModelStore.of(self.settings))

    def says(self, text: str) -> bool:
        """Whether its member has logged a text."""
        return text in self.member.log.read_text()

    def served(self) -> str:
        """The run that the server uses."""
        answer = self.server.request("GET", "/health/ready")
        return str(answer.json()["model_run_id"]) if answer.status == 200 else ""


@pytest.fixture
def s3(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """S3 with a bucket."""
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    with emulator:
        boto3.client("s3").create_bucket(Bucket=FOLDER.bucket)
        yield emulator


def test_machines_follow_one_record(s3: Emulator, tmp_path: Path, documented: Contract) -> None:
    """All or none of those that reach S3; one that was cut off catches up; S3 may be away."""
    one = Machine(tmp_path / "one", documented, s3, has_all=True)
    two = Machine(tmp_path / "two", documented, s3, has_all=False)
    one.deployer.deploy(A)
    with ExitStack() as running:
        for machine in (one, two):
            running.enter_context(machine.server)
            running.enter_context(machine.member)
        wait_until(lambda: (one.served(), two.served()) == (A, A), "late machines serve A")
        deployer = one.deployer
        deployer.deploy(B)
        assert (one.served(), two.served()) == (B, B)
        assert "left out" not in deployer.state.reached()

        with pytest.raises(DeploymentError, match=r"predict-api of .* cannot serve run c.*; the"):
            deployer.deploy(C)
        assert (one.served(), two.served()) == (B, B)

        two.member.process.send_signal(signal.SIGSTOP)
        # Its lease expires in the meantime.
        deployer.deploy(A)
        assert (one.served(), two.served()) == (A, B)
        assert "left out until they reach S3 again: " in deployer.state.reached()
        two.member.process.send_signal(signal.SIGCONT)
        wait_until(lambda: two.served() == A, "it catches up")

        assert two.deployer.rollback() == B
        assert (one.served(), two.served()) == (B, B)

        wait_until(lambda: _copied(one) and _copied(two), "both have the whole history")
        assert two.says(f"run {A} is deployed")
        s3.kill()
        wait_until(lambda: two.says("S3 cannot be reached"), "it says that it is cut off")
        assert two.server.post("/predict", documented.example).status == 200
        two.server.stop()
        with two.server:
            wait_until(lambda: two.served() == B, "it starts with the copy")
            with s3:
                boto3.client("s3").create_bucket(Bucket=FOLDER.bucket)
                # The emulator has forgotten everything, which the machines have not.
                wait_until(lambda: one.says(_BACK) and two.says(_BACK), "both reach S3")
                assert two.deployer.rollback() == A
                assert (one.served(), two.served()) == (A, A)
                runs = [entry.to_run_id for entry in two.deployer.state.history()]
                assert runs == [A, B, C, A, B, A]


def _copied(machine: Machine) -> bool:
    """Whether the state folder has all that was deployed before S3 was away."""
    return [entry.to_run_id for entry in machine.local.history()] == [A, B, C, A, B]
