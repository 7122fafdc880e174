"""The Makefile is the one vocabulary, and says what it can do."""

import re
import subprocess
from pathlib import Path

import pytest

from mlstack.settings import ROOT

TARGETS = (
    "help",
    "demo",
    "test",
    "run_tests",
    "lint",
    "bench",
    "doctor",
    "reset_all",
    "setup-model-registry",
    "init_aws",
    "apply-model-train-flow",
    "train",
    "setup-model-serve",
    "stop-serve",
    "start-serve",
    "deploy",
    "rollback",
    "deployments",
    "status",
    "logs",
    "lock",
)


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_help_lists_every_target_with_a_line() -> None:
    listed = _make("help").stdout
    for target in TARGETS:
        assert re.search(rf"(?m)^  (\S+ )?{target}( \S+)? {{2,}}\S", listed), target


def test_every_phony_target_has_its_line_of_help() -> None:
    phony = re.findall(r"(?m)^\.PHONY: (.+)$", (ROOT / "Makefile").read_text())
    assert sorted(name for names in phony for name in names.split()) == sorted(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_no_target_uses_a_variable_that_nobody_sets(target: str) -> None:
    shown = _make("--warn-undefined-variables", "-n", target)
    assert shown.returncode == 0, shown.stdout
    assert "undefined variable" not in shown.stdout


@pytest.mark.parametrize("target", ["setup-model-registry", "init_aws", "train", "status"])
def test_an_environment_that_is_not_there_is_refused_in_a_sentence(target: str) -> None:
    refused = _make(target, "env=cloud")
    assert refused.returncode != 0
    assert "env=cloud: no such environment; there is env=embedded" in refused.stdout
    assert "Traceback" not in refused.stdout


def test_an_unsuitable_python_is_refused_in_a_sentence(tmp_path: Path) -> None:
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    refused = _make("status", f"VENV={tmp_path}/venv", f"PYTHON={old}")
    assert refused.returncode != 0
    assert "is not Python 3.11 to 3.13" in refused.stdout
    assert not (tmp_path / "venv").exists()


def test_no_python_at_all_says_what_is_needed(tmp_path: Path) -> None:
    refused = _make("status", f"VENV={tmp_path}/venv", "PYTHON=")
    assert refused.returncode != 0
    assert "Python 3.11 to 3.13 is needed" in refused.stdout
