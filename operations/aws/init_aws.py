"""Create missing bucket, training data and streams in AWS (`make init_aws`).

With `--keep` it recreates lost resources forever: AWS emulators lose their data at a restart.
"""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlstack import command_line, heartbeat
from mlstack.contract import Contract
from mlstack.data.feature_store import FeatureStore
from mlstack.data.training_table import RawTable, ensure_table, has_table, restore_tables
from mlstack.errors import FeatureStoreError
from mlstack.settings import Settings
from mlstack.streams.client import StreamError, kinesis_client
from mlstack.streams.stream import ensure_stream
from mlstack.waiting import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

log = logging.getLogger(__name__)

_KEEP_SECONDS = 5.0
_ATTEMPTS = 5


def init_aws(settings: Settings, contract: Contract, say: Callable[[str], None]) -> RawTable:
    """Create missing resources and store training data; return the stored table.

    Raises:
        SettingsError: no bucket is set, or there is no table.
        DataError: training would refuse the table; nothing was created then.
        FeatureStoreError, StreamError, Unavailable: AWS is unreachable or rejects a request.
    """
    store = FeatureStore(settings.feature_store_bucket)
    table = ensure_table(settings, contract, store, say)
    _ensure_streams(settings, kinesis_client(_ATTEMPTS), say)
    return table


class Restorer:
    """Recreates lost resources; arguments and exceptions are those of `init_aws`.

    It keeps its clients, because making one takes longer than all of its calls.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings, self._say = settings, say
        self._store = FeatureStore(settings.feature_store_bucket)
        self._streams = kinesis_client(_ATTEMPTS)

    def restore(self) -> None:
        """Recreate what is missing."""
        self._store.create(self._say)
        restore_tables(self._settings, self._store, self._say)
        _ensure_streams(self._settings, self._streams, self._say)


def _ensure_streams(
    settings: Settings, client: "KinesisClient", say: Callable[[str], None]
) -> None:
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
    restorer: Restorer | None = None
    while True:
        try:
            if has_table(settings):
                restorer = restorer or Restorer(settings, log.info)
                restorer.restore()
            heartbeat.aws_keeper(settings).beat()
        except (FeatureStoreError, StreamError, Unavailable) as error:
            log.warning("%s; trying again", error)
        time.sleep(_KEEP_SECONDS)


def main() -> None:
    """Create the resources, or keep them."""
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
