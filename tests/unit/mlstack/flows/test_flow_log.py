"""What a person sees of a flow run's log."""

from datetime import UTC, datetime
from typing import cast
from uuid import uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import Log

from mlstack.flows.run import _LogReader


class _Server:
    """Has one line at first; each look at the log adds the next one."""

    def __init__(self, *lines: str, logger: str = "prefect.flow_runs") -> None:
        self.coming = [_line(logger, message) for message in lines]
        self._lines: list[Log] = []

    def read_logs(self, _: object, limit: int, offset: int, __: object) -> list[Log]:
        if offset == 0 and self.coming:
            self._lines.append(self.coming.pop(0))
        return self._lines[offset : offset + limit]


def _line(logger: str, message: str) -> Log:
    now = datetime.now(UTC)
    return Log.model_validate({"name": logger, "level": 20, "message": message, "timestamp": now})


def _printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()]


def test_log_reader_prints_the_first_line_of_each_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A message is printed once, by its first line; an empty message is an empty line."""
    server = cast("SyncPrefectClient", _Server("begin", "", "boom\n  File x"))
    log = _LogReader(uuid4())
    for _ in range(4):
        log.print_new(server)
    assert _printed(capsys) == ["begin", "", "boom"]


def test_log_reader_waits_for_the_last_line_of_the_flow(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Lines that arrive late are printed, and nothing is waited for after the last one."""
    server = _Server("begin", "late", "Finished in state Completed('x')", "another flow's")
    _LogReader(uuid4()).print_rest(cast("SyncPrefectClient", server))
    assert _printed(capsys) == ["begin", "late", "Finished in state Completed('x')"]


def test_end_of_a_task_is_not_the_last_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task ends with the same words; its flow goes on."""
    monkeypatch.setattr("mlstack.flows.run._LAST_LINE_SECONDS", 0.5)
    server = _Server("Finished in state Completed()", "more", logger="prefect.task_runs")
    _LogReader(uuid4()).print_rest(cast("SyncPrefectClient", server))
    assert _printed(capsys) == ["more"]
