"""`make init_aws`: the bucket, the training data and the streams; what is there stays.

With `--keep` it stays and makes them anew whenever they are gone: both AWS emulators forget
everything when they restart.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from mlstack.contract import Contract
from mlstack.data.feature_store import AWS_CONFIG, FeatureStore
from mlstack.data.training_table import RawTable, ensure_table, has_table, restore_tables
from mlstack.errors import FeatureStoreError, MlstackError
from mlstack.files import write_atomically
from mlstack.settings import Settings
from operations.aws.heartbeat import heartbeat_path

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

log = logging.getLogger(__name__)

_KEEP_SECONDS = 5.0
_STREAM_SECONDS = 60.0


class StreamError(MlstackError):
    """Kinesis cannot be reached or refuses."""


def init_aws(settings: Settings, contract: Contract, say: Callable[[str], None]) -> RawTable:
    """Makes what is missing, and brings the training data.

    Args:
        settings: Names of bucket and streams, `DATA_FILE`, the state folder.
        contract: Whose training data.
        say: Is told, as sentences, what became of the data and every other change.

    Returns:
        The table that the feature store has.

    Raises:
        SettingsError: no bucket was chosen, or there is no table to be had.
        FeatureStoreError, StreamError: AWS cannot be reached or refuses.
    """
    table = ensure_table(settings, contract, _made_store(settings, say), say)
    _make_streams(settings, say)
    return table


def make_again(settings: Settings, say: Callable[[str], None]) -> None:
    """Makes what was there and is gone. Says and raises what `init_aws` does."""
    restore_tables(settings, _made_store(settings, say), say)
    _make_streams(settings, say)


def _made_store(settings: Settings, say: Callable[[str], None]) -> FeatureStore:
    store = FeatureStore(settings.feature_store_bucket)
    if store.create():
        say(f"made bucket {settings.feature_store_bucket}")
    return store


def _make_streams(settings: Settings, say: Callable[[str], None]) -> None:
    for name, shards in (
        (settings.predictions_stream, settings.predictions_shards),
        (settings.results_stream, 1),
        (settings.dead_letter_stream, 1),
    ):
        if _create_stream(name, shards):
            say(f"made stream {name} ({shards} shard{'s' if shards > 1 else ''})")


def _create_stream(name: str, shards: int) -> bool:
    try:
        kinesis = boto3.client("kinesis", config=AWS_CONFIG)
        # Asked first: whoever may not create streams can still start with those that are there.
        try:
            kinesis.describe_stream_summary(StreamName=name)
            created = False
        except kinesis.exceptions.ResourceNotFoundException:
            created = _created(kinesis, name, shards)
        _wait_until_active(kinesis, name)
    except (BotoCoreError, ClientError) as error:
        raise StreamError(f"stream {name} cannot be made: {error}") from error
    return created


def _created(kinesis: "KinesisClient", name: str, shards: int) -> bool:
    """Whether it was us; `make init_aws` and the keeper may both be at it."""
    try:
        kinesis.create_stream(StreamName=name, ShardCount=shards)
    except kinesis.exceptions.ResourceInUseException:
        return False
    return True


def _wait_until_active(kinesis: "KinesisClient", name: str) -> None:
    deadline = time.monotonic() + _STREAM_SECONDS
    while True:
        summary = kinesis.describe_stream_summary(StreamName=name)
        status = summary["StreamDescriptionSummary"]["StreamStatus"]
        if status == "ACTIVE":
            return
        if time.monotonic() > deadline:
            raise StreamError(f"stream {name} is {status} for {_STREAM_SECONDS:g} s")
        time.sleep(0.2)


def keep(settings: Settings) -> None:
    """Makes what is missing again and again; does not return.

    Until `make init_aws` has brought the data for the first time there is nothing to keep.
    The heartbeat file is renewed whenever nothing is missing any more.
    """
    heartbeat = heartbeat_path(settings)
    while True:
        try:
            if has_table(settings):
                make_again(settings, log.info)
            write_atomically(heartbeat, f"{time.time():.0f}\n".encode(), sync=False)
        except (FeatureStoreError, StreamError) as error:
            log.warning("%s; trying again", error)
        time.sleep(_KEEP_SECONDS)


def main() -> int:
    """Entry point: `python -m operations.aws.init_aws [--keep]`."""
    parser = argparse.ArgumentParser(prog="init_aws", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="stay, and make what goes missing")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    settings = Settings.load()
    if arguments.keep:
        keep(settings)
    table = init_aws(settings, Contract.load(settings.contract_path), print)
    if table.synthetic:
        log.warning("this is the synthetic sample: set DATA_FILE to your own table")
    print("bucket, training data and streams are there")  # noqa: T201
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MlstackError as error:
        sys.exit(f"init_aws: {error}")
