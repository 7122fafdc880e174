"""Fixtures that several tests of this folder use."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser

from mlstack.contract import Contract
from tests.support.aws import Emulator, moto, running
from tests.support.browser import open_browser
from tests.support.keeper import LogKeeper
from tests.support.kinesis_local import NotInstalled, install
from tests.support.models import deploy_model
from tests.support.stream_server import StreamServer

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; see `needs_chromium`."""
    with open_browser() as browser:
        yield browser


@pytest.fixture
def deployed(tmp_path: Path, documented: Contract) -> Path:
    """A state folder in which a model is deployed."""
    deploy_model(tmp_path / "state", documented)
    return tmp_path / "state"


@pytest.fixture
def emulator(tmp_path: Path) -> Emulator:
    """AWS with nothing in it; it does not run yet."""
    return moto(tmp_path)


@pytest.fixture
def kinesis(emulator: Emulator) -> Iterator["KinesisClient"]:
    """A client of the emulator, which runs and has the streams."""
    with running(emulator) as client:
        yield client


@pytest.fixture
def keeper(deployed: Path, mongo: str) -> Iterator[LogKeeper]:
    """The keeper of the state folder, which runs."""
    with LogKeeper(deployed, MONGO_URI=mongo) as keeper:
        yield keeper


@pytest.fixture
def server(deployed: Path, emulator: Emulator, keeper: LogKeeper) -> StreamServer:  # noqa: ARG001 - it runs
    """A stream server that does not run yet; its keeper does."""
    return StreamServer(deployed, **emulator.environment)


@pytest.fixture(scope="session")
def kinesis_local_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The emulator whose shards split and merge, installed for these tests."""
    try:
        return install(tmp_path_factory.mktemp("kinesis-local"))
    except NotInstalled as error:
        pytest.skip(str(error))
