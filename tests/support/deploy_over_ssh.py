"""Tests of a deploy over ssh, however the machine's sshd runs.

A test file gives a fixture `once`, a machine with models of the runs A and B that all its tests
share, and inherits these.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from mlstack.contract import Contract
from mlstack.deployment.record import Statement
from tests.support.deploy_machine import OTHER, REQUESTS, A, Answer, B, Machine, Worker
from tests.support.models import keep_model, write_model
from tests.support.sshd import host_line, make_key
from tests.support.waiting import wait_until


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
        request = next(REQUESTS)
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
        request = next(REQUESTS)
        first: Future[Answer] = background.submit(machine.ask, "deploy", B, request)
        machine.wait_for_record(B)
        machine.kill_deployment()
        told = first.result()
        assert told.returncode == 1
        assert "ended without a result" in told.stderr
        worker.follow()
        again = machine.ask("deploy", B, request)
        assert again.returncode == 0, again.stderr
        assert machine.deployed() == B
