"""A deploy over ssh is done whole or not at all, whatever happens to the connection.

Here sshd is a process; `tests/compose/test_deploy_into_container.py` has one in a container.
"""

import shutil
from collections.abc import Iterator

import pytest

from tests.support.deploy_machine import A, B, Machine, keep_models
from tests.support.deploy_over_ssh import (
    WhatIsRefused,
    WhatMainDecides,
    WhileADeploymentIsUnderWay,
)
from tests.support.project_copy import project_copy
from tests.support.sshd import SSHD, sshd

pytestmark = pytest.mark.skipif(
    SSHD is None or not shutil.which("ssh"), reason="needs sshd (apt-get install openssh-server)"
)


class Native(Machine):
    """This machine, with an sshd of the user who runs the test."""

    def by_hand(self, target: str, run_id: str = "") -> None:
        done = self.copy.make(target, env="embedded", RUN_ID=run_id)
        assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    with project_copy(folder / "mlstack") as copy:
        keep_models(copy.folder / ".embedded/state")
        with sshd(folder / "ssh", f"{copy.folder}/cloud/receive.sh embedded") as server:
            yield Native(copy, server)


class TestWhatMainDecides(WhatMainDecides):
    """See there."""


class TestWhatIsRefused(WhatIsRefused):
    """See there; and by the runner's own script, before it asks any machine."""

    @pytest.mark.parametrize("run_id", ["", "x", A.upper(), f"{A}0", f"{A}\n{B}", f"{A};id", "$A"])
    def test_runner_refuses_what_is_no_run_id(self, machine: Machine, run_id: str) -> None:
        """The machine is not even asked."""
        answer = machine.run("follow", run_id, "1-1", "tester", DEPLOY_PORT="1")
        assert answer.returncode == 2
        assert "RUN_ID must be 32 digits" in answer.stderr

    def test_runner_gives_up_on_a_silent_machine(self, machine: Machine) -> None:
        """It asks again before it gives up."""
        answer = machine.ask("deploy", A, DEPLOY_PORT="1", DEPLOY_SECONDS="2")
        assert answer.returncode == 3
        assert "asking again" in answer.stderr
        assert "could not be reached" in answer.stderr

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("DEPLOY_HOST", "-oProxyCommand=id"),
            ("DEPLOY_USER", "-x"),
            ("DEPLOY_PORT", "22 -v"),
            ("DEPLOY_KEY", ""),
        ],
    )
    def test_runner_refuses_a_missing_setting(
        self, machine: Machine, name: str, value: str
    ) -> None:
        """The message names the setting."""
        answer = machine.ask("deploy", A, **{name: value})
        assert answer.returncode == 2
        assert name in answer.stderr


class TestWhileADeploymentIsUnderWay(WhileADeploymentIsUnderWay):
    """See there."""
