"""Commands of README and CONTRIBUTING are all run by a test or by CI."""

import re

from mlstack.settings import ROOT
from tests.support.readme import END, MAIN_PATH, OWN_DATA, README, SAVE, SET_UP, USE, commands_of

RUN_ELSEWHERE = {
    "make demo": "tests/integration/test_walkthrough.py",
    "make demo-drift DRIFT=incomes_rise": "tests/rest/test_readme.py",
    "make test": ".ci/run",
    "aws kinesis": "tests/rest/test_aws_lines.py",
    "export AWS": "tests/rest/test_aws_lines.py",
}


def test_readme_commands_are_all_run_by_a_test() -> None:
    """No command of the README is left untested."""
    run = {*MAIN_PATH, *SET_UP, *USE, *SAVE, *OWN_DATA, *END}
    left = [c for c in README if c not in run and not c.startswith(tuple(RUN_ELSEWHERE))]
    assert left == []
    for elsewhere, file in RUN_ELSEWHERE.items():
        assert any(command.startswith(elsewhere) for command in README)
        assert (ROOT / file).exists()
    assert README[0] == "make demo"
    assert README[-1] == "make reset_all env=embedded"


def test_contributing_commands_are_all_run_by_ci() -> None:
    """A command that runs a part of the tests has to name tests that exist."""
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in commands_of(ROOT / "CONTRIBUTING.md"):
        if "pytest" in command:
            folders = [word for word in command.split() if word.startswith("tests/")]
            assert folders
            assert all((ROOT / folder.partition("::")[0]).exists() for folder in folders)
        # tests/rest/test_notebooks.py runs the second one.
        elif not command.startswith(("make check", "make notebooks")):
            assert re.search(rf"(?m)^ *{command}( |$)", ci), command
