"""A deploy over ssh into a container that shares only the project with this machine.

Its sshd and all that it starts run as a user who is not root.
"""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from mlstack.settings import ROOT
from operations.containers.credentials import container_uid
from tests.support.containers import build_image, docker
from tests.support.deploy_machine import A, Answer, B, Machine, Worker, keep_models
from tests.support.deploy_over_ssh import (
    WhatIsRefused,
    WhatMainDecides,
    WhileADeploymentIsUnderWay,
)
from tests.support.ports import free_port
from tests.support.project_copy import ProjectCopy, project_copy
from tests.support.sshd import Sshd, configure, connection
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not shutil.which("ssh"), reason="needs ssh (apt-get install openssh-client)"
)

USER = "mlstack"
LISTENS_ON = 2222


class Remote(Machine):
    """A container with sshd in it."""

    def __init__(self, copy: ProjectCopy, server: Sshd, container: str) -> None:
        super().__init__(copy, server)
        self.container = container

    def by_hand(self, target: str, run_id: str = "") -> None:
        folder = str(self.copy.folder)
        # As after a login: without the variables that the image sets.
        login = ("env", "--ignore-environment", "PATH=/usr/local/bin:/usr/bin:/bin")
        command = (*login, "make", target, "env=embedded", f"RUN_ID={run_id}")
        done = subprocess.run(
            ["docker", "exec", "--workdir", folder, self.container, *command],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    folder = tmp_path_factory.mktemp("machine")
    with project_copy(folder / "mlstack") as copy, _image(copy) as image:
        keep_models(copy.folder / ".embedded/state")
        ssh = folder / "ssh"
        receive = f"{copy.folder}/cloud/receive.sh embedded"
        configuration = configure(ssh, receive, USER, f"0.0.0.0:{LISTENS_ON}")
        packages = _packages(folder / "packages", copy)
        port, name = free_port(), f"mlstack-test-sshd-{uuid.uuid4().hex[:8]}"
        for path in (copy.folder, ssh):
            _give_away(path)
        docker(
            *("run", "--detach", "--name", name, "--user", f"{container_uid()}:{container_uid()}"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--publish", f"127.0.0.1:{port}:{LISTENS_ON}"),
            *(f"--volume={path}:{path}" for path in (copy.folder, ssh)),
            f"--volume={packages}:{copy.folder}/.venv:ro",
            *(image, "/usr/sbin/sshd", "-D", "-e", "-f", str(configuration)),
        )
        try:
            server = connection(ssh, lambda: _first_process(name), port, USER)
            machine = Remote(copy, server, name)
            wait_until(lambda: machine.raw("id").returncode == 2, "sshd answers")
            yield machine
        finally:
            docker("rm", "--force", name)


class TestWhatMainDecides(WhatMainDecides):
    """See there."""


class TestWhatIsRefused(WhatIsRefused):
    """See there."""

    def test_login_without_the_key_is_refused(self, machine: Remote) -> None:
        """Neither a password is asked for, nor may anybody else log in."""
        for user, options in ((USER, ["-i", "/dev/null"]), ("root", ["-i", machine.server.key])):
            known = machine.server.key.with_name("known_hosts_of_others")
            known.write_text(f"{machine.server.known_hosts}\n")
            said = subprocess.run(
                [
                    *("ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentityAgent=none"),
                    *("-o", f"UserKnownHostsFile={known}", "-o", "IdentitiesOnly=yes", *options),
                    *("-l", user, "-p", str(machine.server.port), "127.0.0.1", "served"),
                ],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert said.returncode == 255
            assert "Permission denied (publickey)" in said.stderr


class TestWhileADeploymentIsUnderWay(WhileADeploymentIsUnderWay):
    """See there."""

    def test_deploy_survives_a_machine_that_is_switched_off(
        self, machine: Remote, worker: Worker, background: ThreadPoolExecutor
    ) -> None:
        """A deploy that a power cut interrupted is completed once the machine is back."""
        answer: Future[Answer] = background.submit(machine.ask, "follow", B)
        machine.wait_for_record(B)
        docker("kill", machine.container)
        wait_until(lambda: not _runs(machine.container), "the machine is off")
        assert not answer.done()
        assert [entry.to_run_id for entry in machine.state.history()] == [A]
        docker("start", machine.container)
        worker.follow()
        told = answer.result()
        assert told.returncode == 0, told.stderr
        assert told.stdout.endswith(f"run {B} is deployed\n")
        assert "asking again" in told.stderr
        assert machine.deployed() == B
        assert machine.run("served").stdout == f"{B}\n"


@contextmanager
def _image(copy: ProjectCopy) -> Iterator[str]:
    """The agent's image with make and sshd added; removed at the end."""
    build_image(copy, "agent")
    tag = f"mlstack-test-sshd:{uuid.uuid4().hex[:8]}"
    # The engine's own builder: another one does not know the local images.
    variables = {**os.environ, "BUILDX_BUILDER": "default"}
    folder = ROOT / "tests/compose/sshd"
    command = ["docker", "build", "--quiet", "--tag", tag, str(folder)]
    subprocess.run(command, env=variables, stdout=subprocess.DEVNULL, check=True)
    try:
        yield tag
    finally:
        docker("image", "rm", tag)


def _packages(folder: Path, copy: ProjectCopy) -> Path:
    """A `.venv` for the copy as the container sees it: links to the image's packages."""
    folder.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / name).symlink_to(Path("/opt/venv") / name)
    for stamp in (copy.folder / ".venv").glob(".*-*"):
        (folder / stamp.name).touch()
    return folder


def _give_away(folder: Path) -> None:
    """Make the container's user the owner; only root has to, and may."""
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, container_uid(), container_uid(), follow_symlinks=False)


def _first_process(container: str) -> psutil.Process:
    return psutil.Process(int(docker("inspect", "--format", "{{.State.Pid}}", container)))


def _runs(container: str) -> bool:
    return docker("inspect", "--format", "{{.State.Running}}", container).strip() == "true"
