"""The tutorial in an odd folder, by a user without a name, in an environment made for other things.

Everything that could steer or break the stack is set at once. What the caller's shell decides on is
the way out of this machine, which here is a proxy that refuses everything. The tests of this file
share one stack and follow each other.
"""

import csv
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from mlstack.settings import ROOT
from tests.support.hostile_environment import STEERING
from tests.support.project_copy import ProjectCopy, project_copy
from tests.support.proxy_double import RefusingProxy, refusing_proxy
from tests.support.public_tables import PublicTable
from tests.support.readme import commands_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(900)  # a busy machine takes long to start everything
TABLE = PublicTable("modeldata", "mlc_churn", "churn", "binary")
DOWNLOAD, CONTRACT, DEMO, SCORE, RESET = commands_of(ROOT / "docs" / "your_own_table.md")
NAMELESS = 12345
FOLDER = "R&D #1 (Zürich)"
PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY")
IN_VAIN = {
    "ALL_PROXY": "socks5://127.0.0.1:1080",
    "NO_PROXY": "[::1],é.example",
    "SSL_CERT_FILE": "/nonexistent/ca.pem",
    "SSL_CERT_DIR": "/nonexistent",
    "REQUESTS_CA_BUNDLE": "/nonexistent/ca.pem",
    "CURL_CA_BUNDLE": "/nonexistent/ca.pem",
    "AWS_CA_BUNDLE": "/nonexistent/ca.pem",
    "MAKEFLAGS": "-j8 -k",
    "env": "moon",
    "service": "nonsense",
    "VENV": "/nonexistent",
    "DRIFT": "nonsense",
    "USER": "somebody",
    "LOGNAME": "somebody",
}


@dataclass(frozen=True)
class Demo:
    """A stack that `make demo` brought up, what that printed, and what the proxy was asked for."""

    project: ProjectCopy
    output: str
    proxy: RefusingProxy


@contextmanager
def _nameless() -> Iterator[tuple[str, ...]]:
    """Give what runs a command as a user without a name; nothing where the kernel forbids it.

    The user is a namespace's, so that Python and packages stay readable wherever they are.
    """
    made = ["unshare", "--user", f"--map-user={NAMELESS}", f"--map-group={NAMELESS}"]
    if subprocess.run([*made, "true"], capture_output=True, check=False).returncode != 0:
        yield ()
        return
    # Every make joins the same namespace: from another one it could not see its own processes.
    with subprocess.Popen([*made, "sleep", "infinity"]) as holder:
        try:
            name = Path(f"/proc/{holder.pid}/comm")
            wait_until(lambda: name.read_text() == "sleep\n", "the namespace is there")
            yield ("nsenter", f"--target={holder.pid}", "--user", "--preserve-credentials")
        finally:
            holder.kill()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("hostile") / FOLDER
    folder.mkdir()
    with (
        refusing_proxy() as proxy,
        _nameless() as prefix,
        project_copy(folder) as project,
    ):
        (folder / f"{TABLE.item}.csv").write_bytes(TABLE.csv())
        proxies = dict.fromkeys(PROXIES, proxy.url)
        project.environment |= {**STEERING, **IN_VAIN, **proxies}
        project.environment.pop("HOME", None)
        project.prefix, project.umask = prefix, 0o077
        project.variables["TRAIN_TRIALS"] = "3"
        _run(project, CONTRACT)
        yield Demo(project, _run(project, DEMO), proxy)


def _run(project: ProjectCopy, command: str) -> str:
    """Run a command of the tutorial, which has to succeed; return what it says."""
    make, *words = shlex.split(command)
    done = project.make(*words, timeout=800)
    assert (make, done.returncode) == ("make", 0), done.stdout
    return done.stdout


def test_demo_works_in_a_hostile_environment(demo: Demo) -> None:
    """It ends as always, and names what it could not use."""
    assert "== Everything is up" in demo.output
    assert "Traceback" not in demo.output
    assert "SSL_CERT_FILE is ignored: /nonexistent/ca.pem" in demo.output


def test_tutorial_scores_every_row(demo: Demo) -> None:
    """From a file to predictions of all its rows; what the user owns stays."""
    assert DOWNLOAD.startswith("curl")
    assert f"/{TABLE.package}/{TABLE.item}.csv" in DOWNLOAD
    _run(demo.project, SCORE)
    folder = demo.project.folder
    scores = (folder / "scores.csv").read_text(encoding="utf-8")
    table = (folder / f"{TABLE.item}.csv").read_bytes()
    assert len(list(csv.reader(scores.splitlines()))) == len(table.splitlines())
    assert (folder / "contracts" / f"{TABLE.item}.yaml").exists()


def test_table_may_have_a_blank_in_its_path(demo: Demo) -> None:
    """And may belong to another contract than the deployed model."""
    table = demo.project.folder / "my table.csv"
    shutil.copy(ROOT / "contracts/credit_card_churn_sample.csv", table)
    contract = "contracts/credit_card_churn.yaml"
    sent = demo.project.make("init_aws", env="embedded", CONTRACT=contract, DATA_FILE=str(table))
    assert sent.returncode == 0, sent.stdout
    assert "sent my table.csv" in sent.stdout


def test_proxy_is_asked_for_the_internet_only(demo: Demo) -> None:
    """Services, flows and clients reach each other directly."""
    assert [each for each in demo.proxy.asked if re.search(r"127\.|localhost|::1", each)] == []


def test_shell_decides_on_no_setting(demo: Demo) -> None:
    """`.env` holds what make's command line gave and what the environment's file says."""
    active = (demo.project.folder / ".env").read_text()
    for name in ("RUN_ID", "REPORTS_DIR", "LOGS_DIR", "STATE_DIR", "MONGO_URI"):
        assert STEERING[name] not in active, name
    assert f"API_PORT={demo.project.port('API_PORT')}\n" in active


def test_history_names_the_number_of_the_user(demo: Demo) -> None:
    """Not the user that the shell names."""
    history = demo.project.make("deployments", env="embedded").stdout
    assert "somebody" not in history
    if demo.project.prefix:
        assert str(NAMELESS) in history


def test_every_service_is_ready_and_can_be_stopped(demo: Demo) -> None:
    """What the demo started belongs to the next make, too."""
    address = f"http://127.0.0.1:{demo.project.port('API_PORT')}/health/ready"
    assert requests.get(address, timeout=5).ok
    status = demo.project.make("status", env="embedded").stdout
    ready = re.findall(r"(?m)^(\S+) +running .*? (yes|no)\b", status)
    assert {answer for _, answer in ready} == {"yes"}, status
    _run(demo.project, RESET)
    assert not (demo.project.folder / ".embedded").exists()
    with pytest.raises(requests.ConnectionError):
        requests.get(address, timeout=5)
