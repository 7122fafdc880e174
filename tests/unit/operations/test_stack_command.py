"""The command line of both environments: `python -m operations.stack`."""

import os
from pathlib import Path

import pytest

from mlstack import environments
from mlstack.settings import Settings
from operations import stack
from operations.errors import StackError


class Recorder:
    """Records which methods of a stack are called, and with what."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def __getattr__(self, method: str) -> object:
        return lambda *arguments: self.calls.append((method, *arguments))


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (["start", "serve", "mongo"], ("start", ["serve", "mongo"])),
        (["stop", "serve"], ("stop", ["serve"])),
        (["status"], ("status",)),
        (["logs", ""], ("logs", "")),
        (["logs", "agent"], ("logs", "agent")),
        (["reset"], ("reset",)),
        (["adopt"], ("adopt",)),
    ],
)
def test_command_calls_its_method(
    words: list[str], call: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(stack, "_active_stack", lambda: recorder)
    stack.main(words)
    assert recorder.calls == [call]


@pytest.mark.parametrize("words", [[], ["start"], ["strat"]])
def test_unknown_command_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        stack.main(words)
    assert "python -m operations.stack" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ("embedded", "EmbeddedStack"),
        ("local", "ContainerStack"),
        ("cloud", "ContainerStack"),
    ],
)
def test_environment_chooses_stack(
    environment: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A COMPOSE_FILE of the shell does not count; that of the environment's file does."""
    shell = {**os.environ, "COMPOSE_FILE": "mine.yml", environments.NAME_VARIABLE: environment}
    monkeypatch.setattr(os, "environ", shell)
    assert type(stack._active_stack()).__name__ == name


def test_bad_table_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that training would refuse is named before any service of the registry starts."""
    table = tmp_path / "mine.csv"
    table.write_bytes(b"a,b\n1,2,3\n")
    recorder = Recorder()
    monkeypatch.setattr(stack, "_active_stack", lambda: recorder)
    monkeypatch.setenv(environments.NAME_VARIABLE, "embedded")
    monkeypatch.setattr(environments, "load", lambda _: Settings(data_file=table))
    with pytest.raises(StackError, match=r"mine\.csv cannot be used: the header in line 1 has 2"):
        stack.main(["start", "model-registry"])
    assert recorder.calls == []
