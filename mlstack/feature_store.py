"""The feature store: raw training tables in an S3 bucket.

boto3 finds the store by itself (`AWS_ENDPOINT_URL` for an emulator, the machine's own role
in AWS), so one code serves moto, LocalStack and AWS.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

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

    def upload(self, key: str, content: bytes) -> bool:
        """Makes sure that a table is there; returns whether it had to be sent.

        Raises:
            FeatureStoreError: S3 can not be reached or refuses.
        """
        digest = hashlib.sha256(content).hexdigest()
        with self._failures(key):
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
                Body=content,
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


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
