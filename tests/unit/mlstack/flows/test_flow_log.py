"""What a person sees of a flow run's log."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast
from uuid import uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import Log

from mlstack.flows.run import _LogReader


class _Server:
    def __init__(self, messages: Sequence[str]) -> None:
        self._lines = [
            Log.model_validate(
                {"name": "flow", "level": 20, "message": message, "timestamp": datetime.now(UTC)}
            )
            for message in messages
        ]

    def read_logs(self, _: object, limit: int, offset: int, __: object) -> list[Log]:
        return self._lines[offset : offset + limit]


def test_each_line_is_shown_by_its_first_line_and_an_empty_one_as_such(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = _Server(["begin", "", "boom\n  File x"])
    assert _LogReader(uuid4()).show_new(cast("SyncPrefectClient", server))
    shown = capsys.readouterr().out.splitlines()
    assert [line.split(" ", 1)[1] for line in shown] == ["begin", "", "boom"]
