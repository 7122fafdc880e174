"""The deploying step of the workflow reads RUN_ID of main, requests it and reports the result."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlstack.settings import ROOT

A, B = "a" * 32, "b" * 32


@dataclass
class Step:
    """The step, with a stand-in for the ssh script that records the request."""

    folder: Path
    exit_code: int = 0

    def run(self, tested: str, newest: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the step on the texts of two `.env.cloud` files, by default the same."""
        script = self.folder / "from_github.sh"
        script.write_bytes((ROOT / "cloud/from_github.sh").read_bytes())
        asks = self.folder / "deploy_over_ssh.sh"
        asks.write_text(f'#!/bin/sh\necho "$@" >asked\necho "said <b>"\nexit {self.exit_code}\n')
        for each in (script, asks):
            each.chmod(0o755)
        (self.folder / "tested").write_text(tested)
        (self.folder / "newest").write_text(tested if newest is None else newest)
        return subprocess.run(
            [script, "tested", "newest"],
            cwd=self.folder,
            env={
                **os.environ,
                "VERB": "follow",
                "GITHUB_ACTOR": "octocat[bot]",
                "GITHUB_RUN_ID": "12",
                "GITHUB_RUN_ATTEMPT": "3",
                "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            },
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def asked(self) -> str | None:
        """The request; None: none was made."""
        path = self.folder / "asked"
        return path.read_text().strip() if path.exists() else None

    @property
    def summary(self) -> str:
        """The job's summary."""
        return (self.folder / "summary").read_text()


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path)


@pytest.mark.parametrize(
    "line", [f"RUN_ID={A}", f'RUN_ID="{A}"', f"RUN_ID='{A}'", f"RUN_ID={A}  # the small one"]
)
def test_step_requests_the_run_of_main(step: Step, line: str) -> None:
    done = step.run(f"# the run\nCONTRACT=x\n{line}\nOLD_RUN_ID={B}\n#RUN_ID={B}\n")
    assert done.returncode == 0, done.stderr
    assert step.asked == f"follow {A} 12-3 github:octocat[bot]"


def test_summary_shows_messages_as_plain_text(step: Step) -> None:
    step.run(f"RUN_ID={A}\n")
    assert step.summary == "### Deployment: done\n\n    said <b>\n"


@pytest.mark.parametrize(("code", "word"), [(1, "refused"), (75, "in progress"), (4, "failed (4)")])
def test_failure_fails_the_job_and_is_reported(tmp_path: Path, code: int, word: str) -> None:
    step = Step(tmp_path, code)
    assert step.run(f"RUN_ID={A}\n").returncode == code
    assert word in step.summary
    assert "said" in step.summary


def test_empty_run_id_requests_nothing(step: Step) -> None:
    assert step.run("RUN_ID=\n").returncode == 0
    assert step.asked is None
    assert "RUN_ID in .env.cloud is empty" in step.summary


def test_outdated_run_id_is_left_to_the_later_run(step: Step) -> None:
    """A slow run of an older commit never replaces the model of a newer one."""
    assert step.run(f"RUN_ID={A}\n", f"RUN_ID={B}\n").returncode == 0
    assert step.asked is None
    assert "later run" in step.summary


@pytest.mark.parametrize(
    "text",
    [
        "CONTRACT=x\n",
        "RUN_ID=x\n",
        f"RUN_ID={A}0\n",
        f"RUN_ID='{A}\n",
        f"RUN_ID={A}; id\n",
        "RUN_ID=$(id)\n",
        f"RUN_ID={A}\nRUN_ID={B}\n",
        f"RUN_ID={A} # this\nRUN_ID={B}\n",
        f"RUN_ID=runs:/{A}/other\n",
        f"RUN_ID=m-{A}\n",
    ],
)
def test_invalid_run_id_fails_the_job_without_request(step: Step, text: str) -> None:
    done = step.run(text)
    assert done.returncode == 2
    assert step.asked is None
    assert "there has to be one line RUN_ID=" in step.summary
    if "RUN_ID" in text:
        assert f"found: {text[:40].splitlines()[0]}" in step.summary


@pytest.mark.parametrize(
    "line",
    [
        *(f"export RUN_ID={A}", f" RUN_ID = {A}", f"RUN_ID={A}\r", f"RUN_ID={A.upper()}"),
        *(f"RUN_ID=runs:/{A}", f"RUN_ID='runs:/{A}/model' # the champion"),
    ],
)
def test_run_id_may_be_written_as_people_do(step: Step, line: str) -> None:
    """Spaces, case, line ends and `runs:/` do not matter."""
    assert step.run(f"{line}\n").returncode == 0
    assert step.asked is not None
    assert A in step.asked
