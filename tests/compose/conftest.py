"""Tests in containers are skipped, with the reason, where there is no engine."""

import pytest

from tests.support.containers import no_engine


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    if reason := no_engine():
        pytest.skip(reason)
