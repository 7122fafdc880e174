"""Workflows: permissions, pinned actions, and when they deploy."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from mlstack.settings import ROOT

FOLDER = ROOT / ".github/workflows"
NAMES = ("tests.yml", "deploy.yml", "nightly.yml")


def _read(name: str) -> dict[Any, Any]:
    document: dict[Any, Any] = yaml.safe_load((FOLDER / name).read_text())
    return document


def _steps(name: str) -> Iterator[dict[str, Any]]:
    for job in _read(name)["jobs"].values():
        yield from job.get("steps", [])


def test_there_are_no_other_workflows() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_actions_are_pinned_by_commit_with_their_version(name: str) -> None:
    for line in re.findall(r"uses: (.+)", (FOLDER / name).read_text()):
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|\./\S+( # zizmor: .+)?", line)


@pytest.mark.parametrize("name", NAMES)
def test_shell_lines_contain_no_expressions(name: str) -> None:
    """Others may control a value, so scripts get it as an environment variable."""
    for step in _steps(name):
        assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("name", NAMES)
def test_workflows_may_only_read_the_repository(name: str) -> None:
    workflow = _read(name)
    assert workflow["permissions"] == {"contents": "read"}
    assert not [job for job in workflow["jobs"].values() if "permissions" in job]
    for step in _steps(name):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", NAMES)
def test_every_job_has_a_time_limit(name: str) -> None:
    for job in _read(name)["jobs"].values():
        assert "uses" in job or job["timeout-minutes"] <= 45


def test_deployments_follow_their_tests_one_at_a_time() -> None:
    job = _read("deploy.yml")["jobs"]["deploy"]
    assert job["needs"] == "tests"
    assert job["environment"] == "production"
    assert job["concurrency"] == {"group": "deploy-production", "cancel-in-progress": False}
    assert "refs/heads/main" in job["if"]


def test_every_push_to_main_starts_a_deployment() -> None:
    """A RUN_ID whose tests failed is deployed by the push that fixes them."""
    triggers = _read("deploy.yml")[True]  # YAML 1.1 reads `on` so
    assert triggers == {"push": {"branches": ["main"]}, "workflow_dispatch": None}


def test_only_the_deploying_step_gets_the_key() -> None:
    everywhere = "".join((FOLDER / name).read_text() for name in NAMES)
    assert everywhere.count("secrets.") == 1
    step = next(s for s in _steps("deploy.yml") if "DEPLOY_KEY" in s.get("env", {}))
    assert step["run"] == "cloud/from_github.sh .env.cloud newest/.env.cloud"
