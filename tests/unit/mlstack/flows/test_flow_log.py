"""What a person sees of a flow run's log."""

from datetime import UTC, datetime
from typing import cast
from uuid import uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import Log

from mlstack.flows.run import _LogReader


class _Server:
    def __init__(self, *messages: str) -> None:
        self._lines = [
            Log.model_validate(
                {"name": "flow", "level": 20, "message": message, "timestamp": datetime.now(UTC)}
            )
            for message in messages
        ]

    def read_logs(self, _: object, limit: int, offset: int, __: object) -> list[Log]:
        return self._lines[offset : offset + limit]


def test_log_reader_prints_the_first_line_of_each_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A message is printed once, by its first line; an empty message is an empty line."""
    server = cast("SyncPrefectClient", _Server("begin", "", "boom\n  File x"))
    log = _LogReader(uuid4())
    log.print_new(server)
    log.print_new(server)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" ", 1)[1] for line in printed] == ["begin", "", "boom"]
