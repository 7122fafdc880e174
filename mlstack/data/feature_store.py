"""The feature store: raw training tables in an S3 bucket.

boto3 reads its own settings (`AWS_ENDPOINT_URL` for an emulator, the machine's role in AWS), so the
same code works with moto, LocalStack and AWS.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from mlstack.data.table_files import table_format
from mlstack.errors import FeatureStoreError, SettingsError, StoreUnreachable
from mlstack.files import file_sha256

_SHA256 = "sha256"
"""Metadata key of a table's digest; for multipart uploads the ETag is not a digest."""

_HEAD = 64 * 1024

_EMULATOR = "AWS_ENDPOINT_URL"

_CONFIG = Config(
    connect_timeout=5, read_timeout=60, retries={"mode": "standard", "max_attempts": 5}
)


class FeatureStore:
    """Raw tables by key.

    Every method raises FeatureStoreError if S3 fails or rejects a request. An empty bucket name
    raises SettingsError.
    """

    def __init__(self, bucket: str) -> None:
        if not bucket:
            # Bucket names are global in AWS: a default would already be taken.
            raise SettingsError(
                "FEATURE_STORE_BUCKET is empty: choose a bucket name in the environment file "
                "(.env.<env>)"
            )
        self._bucket = bucket
        self._s3 = boto3.client("s3", config=_CONFIG)

    def create(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Create the bucket if it is missing, and say so."""
        with self._failures(f"bucket {self._bucket}"):
            try:
                self._s3.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                if _status(error) != HTTPStatus.NOT_FOUND:
                    raise
            else:
                return
            region = self._s3.meta.region_name
            # S3 does not accept its default region as a location.
            if region == "us-east-1":
                self._s3.create_bucket(Bucket=self._bucket)
            else:
                self._s3.create_bucket(
                    Bucket=self._bucket,
                    CreateBucketConfiguration={"LocationConstraint": region},  # type: ignore[typeddict-item]
                )
            say(f"created bucket {self._bucket}")

    def address(self, key: str) -> str:
        """Return the URI of a table."""
        return f"s3://{self._bucket}/{key}"

    def has(self, key: str) -> bool:
        """Return whether a key has a table."""
        with self._failures(key):
            return self._metadata(key) is not None

    def add(self, key: str, path: Path) -> bool:
        """Upload a table unless the key has one; return whether it was uploaded."""
        if self.has(key):
            return False
        with self._failures(key):
            try:
                self._put(key, path, IfNoneMatch="*")
            except ClientError as error:
                if _status(error) != HTTPStatus.PRECONDITION_FAILED:
                    raise
                return False  # another process uploaded it first
            return True

    def replace(self, key: str, path: Path) -> bool:
        """Upload a table unless it is already stored; return whether it was uploaded."""
        with self._failures(key):
            if (self._metadata(key) or {}).get(_SHA256) == file_sha256(path):
                return False
            self._put(key, path)
            return True

    def objects(self, prefix: str) -> dict[str, datetime]:
        """List the keys that begin with a text, and their times; none if there is no bucket."""
        listing = self._s3.get_paginator("list_objects_v2")
        with self._failures(prefix):
            try:
                pages = listing.paginate(Bucket=self._bucket, Prefix=prefix)
                return {
                    found["Key"]: found["LastModified"]
                    for page in pages
                    for found in page.get("Contents", [])
                }
            except ClientError as error:
                if _status(error) != HTTPStatus.NOT_FOUND:
                    raise
                return {}

    def remove(self, key: str) -> None:
        """Remove a table if it exists."""
        with self._failures(key):
            self._s3.delete_object(Bucket=self._bucket, Key=key)

    def download(self, key: str) -> bytes:
        """Download a table, which must exist."""
        with self._failures(key):
            return self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    def _metadata(self, key: str) -> dict[str, str] | None:
        """Return a table's metadata, or None if there is no table."""
        try:
            return self._s3.head_object(Bucket=self._bucket, Key=key)["Metadata"]
        except ClientError as error:
            if _status(error) != HTTPStatus.NOT_FOUND:
                raise
            return None

    def _put(self, key: str, path: Path, **conditions: str) -> None:
        metadata = {_SHA256: file_sha256(path)}
        with path.open("rb") as file:
            content_type = table_format(file.read(_HEAD)).content_type
            file.seek(0)
            self._s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=file,
                ContentType=content_type,
                Metadata=metadata,
                **conditions,  # type: ignore[arg-type]
            )

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] in {"NoSuchKey", "NoSuchBucket"}:
                raise FeatureStoreError(
                    f"the feature store has no s3://{self._bucket}/{what}; run: make init_aws"
                ) from error
            raise FeatureStoreError(
                f"the feature store rejected the request for {what}: {error}"
            ) from error
        except BotoCoreError as error:
            raise StoreUnreachable(f"the feature store cannot be reached: {error}") from error


def durable_bucket(bucket: str) -> str | None:
    """Return the address of a bucket in AWS itself; None if an emulator, which forgets, has it."""
    return f"s3://{bucket}" if bucket and not os.environ.get(_EMULATOR) else None


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
