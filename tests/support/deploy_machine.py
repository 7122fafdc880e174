"""A machine that is asked for deployments over ssh.

It is a copy of the project behind a real sshd; its `make deploy` is the real one, on real models in
its state folder. (`env=cloud` differs in where that folder lies.)
"""

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event, Thread

import psutil

from mlstack.contract import Contract
from mlstack.deployment.record import DeploymentState, Statement
from mlstack.settings import ROOT
from tests.support.models import keep_model
from tests.support.project_copy import ProjectCopy
from tests.support.sshd import Sshd
from tests.support.waiting import wait_until

A, B, OTHER = ("a" * 32, "b" * 32, "c" * 32)

REQUESTS = (f"test-{number}" for number in count())
"""Names of requests, each used once."""

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
        return self.run(verb, run_id, request or next(REQUESTS), "github:tester", **variables)

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

    def kill_deployment(self) -> None:
        """Kill all processes of a deployment at once, as a power cut does."""
        folder = str(self.copy.folder)
        for process in psutil.process_iter(["cmdline"]):
            command = " ".join(process.info["cmdline"] or ())
            if "carry_out.sh" in command and process.cwd() == folder:
                for each in (process, *process.children(recursive=True)):
                    each.kill()


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
