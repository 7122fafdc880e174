"""What a machine does that is asked for a deployment over ssh, however its sshd runs.

A test file gives a fixture `once`, a machine with models of the runs A and B that all its tests
share, and inherits these. The machine is a copy of the project behind a real sshd; its
`make deploy` is the real one, on real models in its state folder. (`env=cloud` differs in where
that folder lies.)
"""

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest

from mlstack.contract import Contract
from mlstack.deployment.record import DeploymentState, Statement
from mlstack.settings import ROOT
from tests.support.models import keep_model, write_model
from tests.support.project_copy import ProjectCopy
from tests.support.sshd import Sshd, host_line, make_key
from tests.support.waiting import wait_until

A, B, OTHER = ("a" * 32, "b" * 32, "c" * 32)

_REQUESTS = (f"test-{number}" for number in count())

Answer = subprocess.CompletedProcess[str]


class Machine(ABC):
    """A machine that runs the stack, and the runner's way to it."""

    def __init__(self, copy: ProjectCopy, server: Sshd) -> None:
        self.copy, self.server = copy, server
        self.state = DeploymentState(copy.folder / ".embedded/state")
        self.notes = copy.folder / ".deploy"

    def forget(self) -> None:
        """Forget every deploy and every request."""
        for path in self.state._record.parent.glob("deploy*"):
            path.unlink()
        shutil.rmtree(self.notes, ignore_errors=True)

    def ask(self, verb: str, run_id: str, request: str = "", **variables: str) -> Answer:
        """Ask as the workflow does."""
        return self.run(verb, run_id, request or next(_REQUESTS), "github:tester", **variables)

    def run(self, *arguments: str, **variables: str) -> Answer:
        """Run the runner's script with any arguments."""
        known = {
            "DEPLOY_HOST": "127.0.0.1",
            "DEPLOY_PORT": str(self.server.port),
            "DEPLOY_USER": self.server.user,
            "DEPLOY_KEY": self.server.key.read_text(),
            "DEPLOY_KNOWN_HOSTS": self.server.known_hosts,
        }
        return subprocess.run(
            [ROOT / "cloud/deploy_over_ssh.sh", *arguments],
            env={**os.environ, **known, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def raw(self, command: str) -> Answer:
        """Send any command with the key, without the runner's script."""
        known = self.server.key.with_name("known_hosts")
        known.write_text(f"{self.server.known_hosts}\n")
        options = ("-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes", "-F", "/dev/null")
        login = ("-i", str(self.server.key), "-l", self.server.user)
        address = ("-p", str(self.server.port), "127.0.0.1")
        return subprocess.run(
            ["ssh", *options, *login, *address, *filter(None, [command])],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def deployed(self) -> str | None:
        """Read the run id of the record."""
        record = self.state.record()
        return record.run_id if record else None

    @abstractmethod
    def by_hand(self, target: str, run_id: str = "") -> None:
        """Run make on the machine itself."""

    def wait_for_record(self, run_id: str) -> None:
        """Wait until a deploy has replaced the record."""
        wait_until(lambda: self.deployed() == run_id, f"the record says {run_id}")


def keep_models(state: Path) -> None:
    """Store the models of the runs A and B."""
    contract = Contract.load(ROOT / "contracts/credit_card_churn.yaml")
    for seed, run_id in enumerate((A, B)):
        keep_model(state, run_id, contract, seed)


class Worker:
    """A server's worker that follows the record once the test lets it."""

    def __init__(self, state: DeploymentState) -> None:
        self._state = state
        self._follows, self._ends = Event(), Event()
        self._thread = Thread(target=self._turn)

    def follow(self) -> None:
        self._follows.set()

    @contextmanager
    def running(self) -> Iterator[None]:
        record = self._state.record()
        self._say(record.run_id if record else None)
        self._thread.start()
        try:
            yield
        finally:
            self._ends.set()
            self._thread.join()
            self._state.remove_statement("model-server-api", "1")

    def _turn(self) -> None:
        first = self._state.record()
        while not self._ends.wait(0.1):
            record = self._state.record() if self._follows.is_set() else first
            self._say(record.run_id if record else None)

    def _say(self, run_id: str | None) -> None:
        self._state.write_statement(Statement(server="model-server-api", worker="1", run_id=run_id))


class _OnAMachine:
    """Fixtures of the tests below."""

    @pytest.fixture
    def machine(self, once: Machine) -> Machine:
        once.forget()
        return once

    @pytest.fixture
    def unsuitable(self, machine: Machine, full: Contract) -> Iterator[Path]:
        """The model of the run OTHER, which was trained with another contract."""
        model = keep_model(machine.copy.folder / ".embedded/state", OTHER, full, seed=3)
        yield model
        shutil.rmtree(model)

    @pytest.fixture
    def worker(self, machine: Machine) -> Iterator[Worker]:
        """A worker that serves A and holds up every deploy until it may follow."""
        machine.by_hand("deploy", A)
        worker = Worker(machine.state)
        with worker.running():
            yield worker

    @pytest.fixture
    def background(self) -> Iterator[ThreadPoolExecutor]:
        with ThreadPoolExecutor() as pool:
            yield pool


class WhatMainDecides(_OnAMachine):
    """By `follow`, which the workflow asks for after a push."""

    def test_new_run_is_deployed_and_recorded(self, machine: Machine) -> None:
        """The history says who asked for it."""
        machine.by_hand("deploy", A)
        answer = machine.ask("follow", B)
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout == f"run {B} is deployed\n"
        assert machine.deployed() == B
        assert machine.run("served").stdout == f"{B}\n"
        assert machine.state.history()[-1].by == "github:tester"

    def test_deployed_run_is_left_alone(self, machine: Machine) -> None:
        """A request for it changes nothing."""
        machine.by_hand("deploy", A)
        answer = machine.ask("follow", A)
        assert (answer.returncode, answer.stdout) == (0, f"nothing to do: run {A} is deployed\n")
        assert len(machine.state.history()) == 1

    def test_rolled_back_run_does_not_come_back_by_itself(self, machine: Machine) -> None:
        """A push that names it again deploys nothing; a person may."""
        machine.by_hand("deploy", A)
        machine.ask("follow", B)
        machine.by_hand("rollback")
        answer = machine.ask("follow", B)
        assert answer.returncode == 0
        assert answer.stdout.startswith(f"left alone: run {B} was deployed from here before")
        assert machine.deployed() == A
        assert machine.ask("deploy", B).returncode == 0
        assert machine.deployed() == B

    def test_main_may_decide_on_a_run_anew(self, machine: Machine) -> None:
        """B, rolled back by hand; then main says A too, and later B again: that is a decision."""
        machine.by_hand("deploy", A)
        machine.ask("follow", B)
        machine.by_hand("rollback")
        machine.ask("follow", A)
        assert machine.ask("follow", B).stdout == f"run {B} is deployed\n"

    def test_failed_deploy_is_tried_again(
        self, machine: Machine, documented: Contract, unsuitable: Path
    ) -> None:
        """The next request carries it out."""
        machine.by_hand("deploy", A)
        refused = machine.ask("follow", OTHER)
        assert refused.returncode == 1
        assert f"run {OTHER} was trained with another contract" in refused.stdout
        assert machine.deployed() == A
        shutil.rmtree(unsuitable)
        write_model(unsuitable, documented, seed=3)
        assert machine.ask("follow", OTHER).stdout == f"run {OTHER} is deployed\n"


class WhatIsRefused(_OnAMachine):
    """By the machine, or on the way to it."""

    @pytest.mark.parametrize(
        "asked",
        [
            "follow",
            "deploy x 1-1 tester",
            f"deploy {A.upper()} 1-1 tester",
            f"deploy {A}0 1-1 tester",
            f"deploy {A};id 1-1 tester",
            f"deploy {A} ../../x tester",
            f"deploy {A} 1-1 $(id)",
            f"deploy {A} 1-1 tester more",
            f"deploy {A} 1-1 tester\nid",
            f"deploy\\n{A} 1-1 tester",
            "served; id",
            "id",
            "",
        ],
    )
    def test_machine_refuses_other_commands(self, machine: Machine, asked: str) -> None:
        """The key is good for deployments, and for nothing else."""
        answer = machine.raw(asked)
        assert answer.returncode == 2
        assert "uid=" not in answer.stdout + answer.stderr
        assert answer.stderr.strip()
        assert not machine.notes.exists()

    def test_wrong_key_is_refused(self, machine: Machine, tmp_path: Path) -> None:
        """The exit code says so."""
        answer = machine.ask("deploy", A, DEPLOY_KEY=make_key(tmp_path / "other").read_text())
        assert answer.returncode == 4
        assert "refuses the key" in answer.stderr

    def test_text_that_is_no_key_is_refused(self, machine: Machine) -> None:
        """The message says so."""
        answer = machine.ask("deploy", A, DEPLOY_KEY="secret")
        assert answer.returncode == 4
        assert "is not a private key" in answer.stderr
        assert "secret" not in answer.stdout + answer.stderr

    def test_unknown_host_is_refused(self, machine: Machine) -> None:
        """Nothing is sent to a host without its key."""
        answer = machine.ask("deploy", A, DEPLOY_KNOWN_HOSTS="# none")
        assert answer.returncode == 5
        assert "has no host key of 127.0.0.1" in answer.stderr
        assert machine.deployed() is None

    def test_host_with_another_key_is_refused(self, machine: Machine, tmp_path: Path) -> None:
        """Nothing is sent to it."""
        other = host_line(make_key(tmp_path / "other"), machine.server.port)
        answer = machine.ask("deploy", A, DEPLOY_KNOWN_HOSTS=other)
        assert answer.returncode == 5
        assert "another host key" in answer.stderr
        assert machine.deployed() is None


class WhileADeploymentIsUnderWay(_OnAMachine):
    """Connections, runners and deployments may end at any moment."""

    def test_dropped_connection_does_not_end_a_deploy(
        self, machine: Machine, worker: Worker, background: ThreadPoolExecutor
    ) -> None:
        """Its result is still told."""
        answer: Future[Answer] = background.submit(machine.ask, "follow", B)
        machine.wait_for_record(B)
        machine.server.drop_connections()
        wait_until(lambda: machine.server.sessions() > 0, "the runner is back")
        assert not answer.done()
        assert len(machine.state.history()) == 1, "the deployment is not over"
        worker.follow()
        told = answer.result()
        assert (told.returncode, told.stdout) == (0, f"run {B} is deployed\n")
        assert "asking again" in told.stderr
        assert [entry.to_run_id for entry in machine.state.history()] == [A, B]

    def test_lost_runner_leaves_a_whole_deploy(
        self, machine: Machine, worker: Worker, background: ThreadPoolExecutor
    ) -> None:
        """The machine ends what was begun."""
        background.submit(machine.ask, "follow", B, DEPLOY_SECONDS="0")
        machine.wait_for_record(B)
        machine.server.drop_connections()
        worker.follow()
        wait_until(lambda: len(machine.state.history()) > 1, "the deployment is over")
        assert machine.state.history()[-1].result == "deployed"

    def test_failure_after_a_dropped_line_is_told(
        self, machine: Machine, worker: Worker, background: ThreadPoolExecutor
    ) -> None:
        """The old model is put back."""
        del worker
        answer: Future[Answer] = background.submit(machine.ask, "follow", B)
        machine.wait_for_record(B)
        machine.server.drop_connections()
        refusal = Statement(
            server="model-server-streams",
            worker="1",
            run_id=A,
            refused=machine.state.record(),
            reason="no room for it",
        )
        machine.state.write_statement(refusal)
        told = answer.result()
        machine.state.remove_statement("model-server-streams", "1")
        assert told.returncode == 1
        assert "no room for it" in told.stdout
        assert machine.deployed() == A

    def test_repeated_request_is_one_deploy(
        self, machine: Machine, worker: Worker, background: ThreadPoolExecutor
    ) -> None:
        """Both are told its result."""
        request = next(_REQUESTS)
        first: Future[Answer] = background.submit(machine.ask, "deploy", B, request)
        machine.wait_for_record(B)
        second: Future[Answer] = background.submit(machine.ask, "deploy", B, request)
        wait_until(lambda: machine.server.sessions() > 1, "the second waits")
        worker.follow()
        assert first.result().stdout == second.result().stdout == f"run {B} is deployed\n"
        assert machine.ask("deploy", B, request).stdout == f"run {B} is deployed\n"
        assert len(machine.state.history()) == 2

    def test_second_request_is_refused_during_a_deploy(
        self, machine: Machine, worker: Worker, background: ThreadPoolExecutor
    ) -> None:
        """The message names the first one."""
        first: Future[Answer] = background.submit(machine.ask, "deploy", B)
        machine.wait_for_record(B)
        second = machine.ask("deploy", OTHER)
        assert second.returncode == 75
        assert f"another deployment is in progress: run {B} for github:tester" in second.stderr
        worker.follow()
        assert first.result().returncode == 0
        assert machine.deployed() == B

    def test_dead_deploy_is_told_and_started_anew(
        self, machine: Machine, worker: Worker, background: ThreadPoolExecutor
    ) -> None:
        """By the same request."""
        request = next(_REQUESTS)
        first: Future[Answer] = background.submit(machine.ask, "deploy", B, request)
        machine.wait_for_record(B)
        _kill_deployment(machine)
        told = first.result()
        assert told.returncode == 1
        assert "ended without a result" in told.stderr
        worker.follow()
        again = machine.ask("deploy", B, request)
        assert again.returncode == 0, again.stderr
        assert machine.deployed() == B


def _kill_deployment(machine: Machine) -> None:
    """Kill all of it at once, as a power cut does."""
    folder = str(machine.copy.folder)
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        if "carry_out.sh" in command and process.cwd() == folder:
            for each in (process, *process.children(recursive=True)):
                each.kill()
