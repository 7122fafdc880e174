"""Create missing bucket, training data and streams in AWS (`make init_aws`).

With `--keep` it recreates lost resources forever: AWS emulators lose their data at a restart.
"""

import logging
import time
from collections.abc import Callable

from mlstack import command_line, heartbeat
from mlstack.contract import Contract
from mlstack.data.feature_store import FeatureStore
from mlstack.data.training_table import RawTable, ensure_table, has_table, restore_tables
from mlstack.errors import FeatureStoreError
from mlstack.settings import Settings
from mlstack.streams.client import StreamError, kinesis_client
from mlstack.streams.stream import ensure_stream
from mlstack.waiting import Unavailable

log = logging.getLogger(__name__)

_KEEP_SECONDS = 5.0
_ATTEMPTS = 5


def init_aws(settings: Settings, contract: Contract, say: Callable[[str], None]) -> RawTable:
    """Create missing resources and store training data; return the stored table.

    Raises:
        SettingsError: no bucket is set, or there is no table.
        FeatureStoreError, StreamError, Unavailable: AWS is unreachable or rejects a request.
    """
    table = ensure_table(settings, contract, _ensure_store(settings, say), say)
    _ensure_streams(settings, say)
    return table


def restore_aws(settings: Settings, say: Callable[[str], None]) -> None:
    """Recreate lost resources; arguments and exceptions are those of `init_aws`."""
    restore_tables(settings, _ensure_store(settings, say), say)
    _ensure_streams(settings, say)


def _ensure_store(settings: Settings, say: Callable[[str], None]) -> FeatureStore:
    store = FeatureStore(settings.feature_store_bucket)
    if store.create():
        say(f"created bucket {settings.feature_store_bucket}")
    return store


def _ensure_streams(settings: Settings, say: Callable[[str], None]) -> None:
    client = kinesis_client(_ATTEMPTS)
    for name, shards in (
        (settings.predictions_stream, settings.predictions_shards),
        (settings.results_stream, 1),
        (settings.dead_letter_stream, 1),
    ):
        if ensure_stream(client, name, shards):
            say(f"created stream {name} ({shards} shard{'s' if shards > 1 else ''})")


def keep(settings: Settings) -> None:
    """Recreate lost resources forever, once `make init_aws` has created them.

    The heartbeat is renewed whenever nothing is missing.
    """
    while True:
        try:
            if has_table(settings):
                restore_aws(settings, log.info)
            heartbeat.aws_keeper(settings).beat()
        except (FeatureStoreError, StreamError, Unavailable) as error:
            log.warning("%s; trying again", error)
        time.sleep(_KEEP_SECONDS)


def main() -> None:
    """Entry point."""
    parser = command_line.argument_parser("operations.aws.init_aws", __doc__)
    parser.add_argument(
        "--keep", action="store_true", help="keep running, and recreate lost resources"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    settings = Settings.load()
    if arguments.keep:
        keep(settings)
    table = init_aws(settings, Contract.load(settings.contract_path), command_line.say)
    if table.synthetic:
        log.warning("this is the synthetic sample: set DATA_FILE to your own table")
    command_line.say("bucket, training data and streams exist")


if __name__ == "__main__":
    command_line.run(main, "init_aws: ")
