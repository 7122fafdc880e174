"""The commands in the documents, and the replay of those in the README."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import requests

from mlstack.settings import ROOT
from tests.support.stack import Stack

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands_of(document: Path) -> list[str]:
    """List the commands of a Markdown document's `sh` blocks, in order."""
    return [
        line
        for block in _BLOCK.findall(document.read_text(encoding="utf-8"))
        for line in block.splitlines()
        if line and not line.startswith("#")
    ]


README = commands_of(ROOT / "README.md")
_SET_UP = README.index("make setup-model-registry env=embedded")
_SERVE = README.index("make setup-model-serve RUN_ID=...")
_REPORT = README.index("make report")
_OWN_DATA = README.index("make setup-model-registry CONTRACT=contracts/credit_card_churn_full.yaml")
_DOCTOR = README.index("make doctor")

SET_UP = README[_SET_UP : _SERVE + 1]
"""From nothing to a model that is served."""
USE = README[_SERVE + 1 : _REPORT + 1]
"""What is done with a stack that serves, up to a report."""
SAVE = [command for command in README[_REPORT + 1 : _OWN_DATA] if command != "make stop-serve"]
"""A backup, and the help."""
OWN_DATA = ["make stop-serve", *README[_OWN_DATA:_DOCTOR]]
"""The same stack with the second contract."""
END = README[_DOCTOR:]
"""The machine is checked, and everything is removed."""
MAIN_PATH = [
    *(command for command in README[:_SET_UP] if command.startswith(("curl ", ".venv/"))),
    *(
        "make explain ID=...",
        "make status",
        "make deploy RUN_ID=...",
        "make deployments",
        "make rollback",
    ),
    README[-1],
]
"""What is done with a stack that `make demo` has brought up, if time is short."""


def run_command(stack: Stack, command: str, run_id: str = "", trials: int = 10) -> None:
    """Run a command of the README in a stack's copy of the project, on its ports.

    Args:
        stack: A stack; in containers the environment is `local`.
        command: As the README has it, for the environment `embedded`.
        run_id: What stands for `RUN_ID=...`; empty: a run that is not served.
        trials: Models that a search trains.
    """
    text = command.replace("127.0.0.1:9696", stack.api.removeprefix("http://"))
    text = text.replace("env=embedded", f"env={stack.environment}")
    if "RUN_ID=..." in text:
        text = text.replace("RUN_ID=...", f"RUN_ID={run_id or stack.another_run()}")
    if " ID=..." in text:
        answer = requests.post(
            f"{stack.api}/predict", json=dict(stack.contract.example), timeout=30
        )
        text = text.replace("ID=...", f"ID={answer.json()['prediction_id']}")
    given = {**stack.project.variables, "TRAIN_TRIALS": str(trials)}
    if text.startswith("make "):
        words = (shlex.quote(f"{k}={v}") for k, v in given.items() if f" {k}=" not in text)
        text = " ".join((text, *words))
    done = subprocess.run(
        ["bash", "-c", text],
        cwd=stack.project.folder,
        env={**os.environ, **stack.project.variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        # The first command in containers builds every image.
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}"
    _check_output(command, done.stdout)


def _check_output(command: str, output: str) -> None:
    """Check what the README promises of some commands."""
    if "/feedback" in command:
        assert json.loads(output[output.index("{") :]) == {"accepted": 1}
    elif "/predict" in command and "fifty" not in command:
        answer = json.loads(output[output.index("{") :])
        why = {"explanation"} if "explain" in command else set()
        assert set(answer) == {"churn chance", "model_run_id", "prediction_id", *why}
    elif command.startswith("make explain"):
        assert "scored again: equal, bit for bit" in output
    elif "fifty" in command:
        assert "/customer_age" in output
    elif command.startswith("make train"):
        assert "make deploy RUN_ID=" in output
    elif command == "make report":
        assert re.search(r"(?m)^verdict +(drift|no drift)$", output), output
        assert re.search(r"(?m)^report +http://\S+\.html$", output), output
