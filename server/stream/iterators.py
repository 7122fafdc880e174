"""Where in a shard reading begins."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


def at_start(client: "KinesisClient", stream_name: str, shard_id: str) -> str:
    """An iterator at the oldest record that the shard still has."""
    return client.get_shard_iterator(
        StreamName=stream_name, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]


def at_record(
    client: "KinesisClient", stream_name: str, shard_id: str, sequence_number: str
) -> str | None:
    """An iterator at a record of the shard.

    Returns:
        None: the stream says that it has no such record. It may also give the next one that
        it has without a word, so the first record that is read has to be looked at.
    """
    errors = client.exceptions
    try:
        return client.get_shard_iterator(
            StreamName=stream_name,
            ShardId=shard_id,
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            StartingSequenceNumber=sequence_number,
        )["ShardIterator"]
    except errors.InvalidArgumentException:
        return None
    except errors.ResourceNotFoundException:
        # What was not found: stream, shard or, with some emulators, the record?
        at_start(client, stream_name, shard_id)
        return None
