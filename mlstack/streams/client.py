"""Create Kinesis clients."""

from typing import TYPE_CHECKING

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from mlstack.errors import MlstackError
from mlstack.streams.wire import speed_up_reading, speed_up_writing

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
    speed_up_reading(session)
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
        client = boto3.Session(botocore_session=session).client("kinesis", config=config)
    except (BotoCoreError, ValueError) as error:
        raise StreamError(f"Kinesis cannot be used: {error}") from error
    speed_up_writing(client)
    return client
