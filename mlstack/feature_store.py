"""The feature store: raw training tables in an S3 bucket.

boto3 finds the store by itself (`AWS_ENDPOINT_URL` for an emulator, the machine's own role
in AWS), so one code serves moto, LocalStack and AWS.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from mlstack.errors import FeatureStoreError

_SHA256 = "sha256"
"""Metadata of an object: the digest of its content. An ETag is none for a multipart upload."""

AWS_CONFIG = Config(
    connect_timeout=5, read_timeout=60, retries={"mode": "standard", "max_attempts": 5}
)


class FeatureStore:
    """Tables by key.

    Args:
        bucket: Name of the S3 bucket.
    """

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._s3 = boto3.client("s3", config=AWS_CONFIG)

    def create(self) -> bool:
        """Makes sure that the bucket exists; returns whether it was made.

        Raises:
            FeatureStoreError: S3 can not be reached or refuses.
        """
        with self._failures(f"bucket {self._bucket}"):
            try:
                self._s3.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                if _status(error) != 404:  # noqa: PLR2004 - HTTP's 'not found'
                    raise
            else:
                return False
            region = self._s3.meta.region_name
            # S3 refuses its own default region as a location.
            if region == "us-east-1":
                self._s3.create_bucket(Bucket=self._bucket)
            else:
                self._s3.create_bucket(
                    Bucket=self._bucket,
                    CreateBucketConfiguration={"LocationConstraint": region},  # type: ignore[typeddict-item]
                )
            return True

    def upload(self, key: str, path: Path) -> bool:
        """Makes sure that a table is there; returns whether it had to be sent.

        Raises:
            FeatureStoreError: S3 can not be reached or refuses.
        """
        with path.open("rb") as file, self._failures(key):
            digest = _digest(file)
            try:
                head = self._s3.head_object(Bucket=self._bucket, Key=key)
                if head["Metadata"].get(_SHA256) == digest:
                    return False
            except ClientError as error:
                if _status(error) != 404:  # noqa: PLR2004 - HTTP's 'not found'
                    raise
            self._s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=file,
                ContentType="text/csv",
                Metadata={_SHA256: digest},
            )
            return True

    def download(self, key: str) -> bytes:
        """Reads a table.

        Raises:
            FeatureStoreError: it is not there, or S3 can not be reached or refuses.
        """
        with self._failures(key):
            return self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] in {"NoSuchKey", "NoSuchBucket"}:
                raise FeatureStoreError(
                    f"the feature store has no s3://{self._bucket}/{what}; run: make init_aws"
                ) from error
            raise FeatureStoreError(f"the feature store refuses {what}: {error}") from error
        except BotoCoreError as error:
            raise FeatureStoreError(f"the feature store can not be reached: {error}") from error


# Digests by device, inode, size and time of change: a table is asked after every few seconds.
_digests: dict[tuple[int, int, int, int], str] = {}


def _digest(file: BufferedReader) -> str:
    """SHA-256 of a file; read only when it is not the one of the last time."""
    stat = os.fstat(file.fileno())
    version = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if version not in _digests:
        _digests[version] = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
    return _digests[version]


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
