"""Containers need an engine: where there is none, these tests say so and are left out."""

import pytest

from support.containers import no_engine


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    if reason := no_engine():
        pytest.skip(reason)
