"""Create Kinesis clients."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from mlstack.errors import MlstackError

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

CONNECT_SECONDS, READ_SECONDS = 3, 20


class StreamError(MlstackError):
    """Kinesis cannot be reached, or rejects a call that cannot be retried."""


def kinesis_client(attempts: int = 1) -> "KinesisClient":
    """Create a Kinesis client. Raises StreamError if boto3 lacks a setting.

    `attempts` is the number of attempts that botocore makes per call. Readers and publishers retry
    by themselves: botocore would hide that a stream was recreated in between, and would put a whole
    batch again because of a single entry.
    """
    session = botocore.session.get_session()
    # Kinesis sends seconds since the epoch. botocore's own parser tries several formats and looks
    # up the local time zone for each record, which is half of the time of GetRecords.
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(
        timestamp_parser=lambda seconds: datetime.fromtimestamp(seconds, UTC)
    )
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=50,
        # Requests are built in this package from checked parts. Validating each of 500 entries
        # again takes a third of the time of building a PutRecords request.
        parameter_validation=False,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    try:
        return boto3.Session(botocore_session=session).client("kinesis", config=config)
    except (BotoCoreError, ValueError) as error:
        raise StreamError(f"Kinesis cannot be used: {error}") from error
