"""The Makefile: its help, its messages, and the environment that it makes."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from mlstack.environments import OWN_VARIABLES
from mlstack.settings import ROOT
from tests.support.hostile_environment import STEERING

TARGETS = (
    "help",
    "demo",
    "demo-drift",
    "contract",
    "contract-reference",
    "try-tables",
    "test",
    "run_tests",
    "test-rest",
    "test-compose",
    "test-ledger",
    "check",
    "lint",
    "audit",
    "bench",
    "bench-serving",
    "notebooks",
    "doctor",
    "security",
    "reset_all",
    "adopt",
    "setup-model-registry",
    "init_aws",
    "apply-model-train-flow",
    "train",
    "setup-model-serve",
    "stop-serve",
    "start-serve",
    "apply-prediction-reporting",
    "report",
    "deploy",
    "rollback",
    "deployed",
    "deployments",
    "status",
    "alert-test",
    "logs",
    "prune",
    "predictions",
    "explain",
    "score",
    "quarantine",
    "backup",
    "restore",
    "lock",
)


def _make(*arguments: str, **exported: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env={**os.environ, **exported},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_help_lists_every_target() -> None:
    """`make help` has a line for every target."""
    listed = _make("help").stdout
    for target in TARGETS:
        assert re.search(rf"(?m)^  (\S+ )?{target}( \S+)? {{2,}}\S", listed), target


def test_phony_targets_are_the_documented_ones() -> None:
    """No target is missing from this list."""
    phony = re.findall(r"(?m)^\.PHONY: ([^$\n]+)$", (ROOT / "Makefile").read_text())
    assert sorted(name for names in phony for name in names.split()) == sorted(TARGETS)


def test_makefile_uses_no_undefined_variable() -> None:
    """No target uses a variable that nobody sets."""
    shown = _make("--warn-undefined-variables", "-n", *TARGETS)
    assert shown.returncode == 0, shown.stdout
    assert "undefined variable" not in shown.stdout


# One for each way in which a target runs its module: set up, a job, the stack's own command.
@pytest.mark.parametrize("target", ["setup-model-registry", "train", "status"])
def test_unknown_environment_is_refused_in_a_sentence(target: str) -> None:
    """An environment that does not exist is refused, with those that do."""
    refused = _make(target, "env=moon")
    assert refused.returncode != 0
    assert "env=moon: no such environment; choose env=embedded, local, cloud" in refused.stdout
    assert "Traceback" not in refused.stdout


@pytest.mark.parametrize("target", ["status", "logs", "setup-model-serve", "demo-drift"])
def test_exported_variables_change_no_command(target: str) -> None:
    """Other projects use names such as VENV, RUN_ID and env, too."""
    names = ("env", "service", "RUN_ID", "BACKUP", "DRIFT", "PKG", "VENV", "JOB", "RUN", "API_PORT")
    exported = dict.fromkeys(names, "somebodys")
    assert _make("-n", target, **exported).stdout == _make("-n", target).stdout


def test_given_variables_are_named_to_the_module() -> None:
    """What make's command line gives counts, and is told apart from what is exported."""
    shown = _make("-n", "deploy", "env=embedded", "RUN_ID=abc", "API_PORT=1", STATE_DIR="x").stdout
    (given,) = re.findall(r'--given "([^"]*)"', shown)
    assert set(given.split()) == {"env", "RUN_ID", "API_PORT"}


def test_make_e_is_refused() -> None:
    """With it, what is exported would replace this project's own commands."""
    refused = _make("status", MAKEFLAGS="e")
    assert refused.returncode != 0
    assert "run make without -e" in refused.stdout


def test_targets_run_in_order_whatever_the_jobs() -> None:
    """`export MAKEFLAGS=-j8` is common, and `make init_aws train` has an order."""
    assert re.search(r"(?m)^\.NOTPARALLEL:$", (ROOT / "Makefile").read_text())


def test_variables_of_python_do_not_keep_it_from_starting() -> None:
    """Such as PYTHONSAFEPATH, which hides this project's modules."""
    hostile = {name: value for name, value in STEERING.items() if name.startswith("PYTHON")}
    assert {"PYTHONSAFEPATH", "PYTHONHOME", "PYTHONPATH"} <= hostile.keys()
    refused = _make("status", "env=moon", **hostile)
    assert "env=moon: no such environment" in refused.stdout
    assert "Traceback" not in refused.stdout


def test_unsuitable_python_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """A Python that does not start is named, and nothing is made."""
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    refused = _make("status", f"VENV={tmp_path}/venv", f"PYTHON={old}")
    assert refused.returncode != 0
    assert "is not Python 3.11 to 3.13" in refused.stdout
    assert not (tmp_path / "venv").exists()


def test_restore_needs_a_file_that_exists() -> None:
    """`make restore` without a backup says what it needs."""
    for given in ([], ["BACKUP=backups/absent.tar.gz"]):
        refused = _make("restore", "env=embedded", *given)
        assert refused.returncode != 0
        assert "name the file of a backup" in refused.stdout


def test_unknown_drift_is_refused_with_the_known_ones() -> None:
    """A drift that the contract does not have is refused, with those that it has."""
    refused = _make("demo-drift", "env=embedded", "DRIFT=nonsense")
    assert refused.returncode != 0
    assert "there is no drift 'nonsense'; choose from " in refused.stdout
    assert "Traceback" not in refused.stdout


class TestReplacedPython:
    """An environment whose Python is gone is made anew."""

    def planned(self, environment: Path) -> str:
        return _make(
            "-n", "status", "env=embedded", f"VENV={environment}", f"PYTHON={sys.executable}"
        ).stdout

    @pytest.fixture
    def environment(self, tmp_path: Path) -> Path:
        """An environment as the first make leaves it, with nothing in it."""
        folder = tmp_path / "venv"
        venv.create(folder, symlinks=True)
        listing = _make("-pn", "help", f"VENV={folder}").stdout
        (stamp,) = re.findall(r"(?m)^RUNTIME := (.+)$", listing)
        Path(stamp.replace("$(VENV)", str(folder))).touch()
        return folder

    def test_installed_python_that_starts_is_left_alone(self, environment: Path) -> None:
        """Nothing is installed again."""
        planned = self.planned(environment)
        assert "operations.stack status" in planned
        assert "install.packages" not in planned

    def test_removed_python_is_installed_again(self, environment: Path) -> None:
        """An environment whose Python is gone is made anew."""
        python = environment / "bin" / "python"
        python.unlink()
        python.symlink_to("/usr/bin/no-such-python")
        self.check(environment)

    def test_python_of_another_version_is_replaced(self, environment: Path) -> None:
        """An environment whose Python became another version is made anew."""
        (folder,) = (environment / "lib").iterdir()
        folder.rename(folder.with_name("python3.0"))
        self.check(environment)

    def check(self, environment: Path) -> None:
        planned = self.planned(environment)
        made, installed, run = map(
            planned.index,
            ("-m venv --clear", "operations.install.packages", "operations.stack"),
        )
        assert made < installed < run


def test_documents_name_existing_targets_and_variables() -> None:
    """Targets are there, and variables are settings of ours or the Makefile's own."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    variables = OWN_VARIABLES | set(re.findall(r"(?m)^(\w+) (?:\?=|:=$)", makefile))
    mentioned = set()
    for document in (*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob(".env.*")):
        text = document.read_text(encoding="utf-8")
        for command in re.findall(r"(?m)(?:^|`)make (?!for\b)([^`\n]+)", text):
            for word in command.split():
                name, is_variable, _ = word.partition("=")
                assert name in (variables if is_variable else TARGETS), f"{document}: {command}"
                mentioned.add(name)
    assert {"demo", "CONTRACT", "DATA_FILE", "API_PORT", "PYTHON"} <= mentioned


def test_missing_python_is_told_with_what_is_needed(tmp_path: Path) -> None:
    """Without any Python the message names the versions."""
    refused = _make("status", f"VENV={tmp_path}/venv", "PYTHON=")
    assert refused.returncode != 0
    assert "Python 3.11 to 3.13 is needed" in refused.stdout
