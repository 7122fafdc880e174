import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlstack import command_line
from mlstack.caller_environment import name_of
from mlstack.errors import MlstackError


def fail() -> None:
    raise MlstackError("the disk is full: delete something")


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("main", "code"), [(lambda: None, 0), (lambda: 3, 3), (fail, 1), (interrupt, 130)]
)
def test_run_ends_with_exit_code(main: Callable[[], int | None], code: int) -> None:
    """The process ends with main's code; an error that a person can mend is 1, Ctrl-C is 130."""
    with pytest.raises(SystemExit) as ended:
        command_line.run(main)
    assert ended.value.code == code


def test_run_prints_error_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """An `MlstackError` is printed as one sentence on stderr, after the prefix."""
    with pytest.raises(SystemExit):
        command_line.run(fail, "backup: ")
    printed = capsys.readouterr()
    assert printed.err == "backup: the disk is full: delete something\n"
    assert printed.out == ""


def test_run_keeps_stack_trace_of_defect() -> None:
    """Any other exception passes through: it is a defect."""
    with pytest.raises(ZeroDivisionError):
        command_line.run(lambda: 1 // 0)


def test_run_names_owner_of_denied_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What make under sudo has left behind is no defect; a denied file of one's own is."""
    file = tmp_path / "supervisord.pid.json"

    def read() -> None:
        raise PermissionError(13, "Permission denied", str(file))

    with pytest.raises(PermissionError):
        command_line.run(read)
    owner = name_of(tmp_path.stat().st_uid)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(SystemExit):
        command_line.run(read)
    assert f"{file} belongs to {owner}: Permission denied" in capsys.readouterr().err


def test_parser_shows_module(capsys: pytest.CaptureFixture[str]) -> None:
    """The help names the command and keeps the lines of the description."""
    with pytest.raises(SystemExit):
        command_line.argument_parser("server.deploy", "First.\n\nSecond.").parse_args(["--help"])
    assert "python -m server.deploy" in (out := capsys.readouterr().out)
    assert "First.\n\nSecond." in out


def test_columns_are_as_wide_as_their_cells() -> None:
    """Nothing is cut off, and no line ends with spaces."""
    rows = [("name", "value"), ("a", ""), ("long name", "-1.5")]
    assert command_line.columns(rows) == ["name       value", "a", "long name  -1.5"]
    assert command_line.columns(rows, "<>") == ["name       value", "a", "long name   -1.5"]
