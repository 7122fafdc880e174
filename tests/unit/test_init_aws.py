"""Bucket, data and streams are made once, and again when they are gone."""

import hashlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws

from aws.init_aws import StreamError, init_aws
from mlstack.errors import FeatureStoreError
from mlstack.feature_store import FeatureStore
from mlstack.raw_data import RawTable
from mlstack.settings import Settings


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield


@pytest.fixture
def table(tmp_path: Path) -> RawTable:
    path = tmp_path / "mine.csv"
    path.write_bytes(b"a\n1\n")
    return RawTable(path=path, key="mine/customers.csv", origin="mine.csv", synthetic=False)


def test_first_run_makes_everything_and_says_so(table: RawTable) -> None:
    said: list[str] = []
    assert init_aws(Settings(), [table], said.append)
    assert said == [
        "made bucket feature-store",
        "sent mine.csv (4 bytes) to s3://feature-store/mine/customers.csv",
        "made stream predictions (2 shards)",
        "made stream results (1 shard)",
        "made stream predictions-dead-letter (1 shard)",
    ]
    assert FeatureStore("feature-store").download("mine/customers.csv") == b"a\n1\n"


def test_second_run_changes_nothing(table: RawTable) -> None:
    init_aws(Settings(), [table], print)
    before = boto3.client("s3").head_object(Bucket="feature-store", Key=table.key)["LastModified"]
    said: list[str] = []
    assert not init_aws(Settings(), [table], said.append)
    assert said == []
    after = boto3.client("s3").head_object(Bucket="feature-store", Key=table.key)["LastModified"]
    assert after == before


def test_changed_data_is_sent_again(table: RawTable) -> None:
    init_aws(Settings(), [table], print)
    table.path.write_bytes(b"a\n2\n")
    assert init_aws(Settings(), [table], print)
    assert FeatureStore("feature-store").download(table.key) == b"a\n2\n"


def test_what_is_gone_is_made_again(table: RawTable) -> None:
    init_aws(Settings(), [table], print)
    boto3.client("s3").delete_object(Bucket="feature-store", Key=table.key)
    boto3.client("kinesis").delete_stream(StreamName="results")
    said: list[str] = []
    assert init_aws(Settings(), [table], said.append)
    assert [sentence.split()[0] for sentence in said] == ["sent", "made"]


def test_a_table_that_did_not_change_is_read_once(
    table: RawTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    file_digest = hashlib.file_digest

    def noting(file: BufferedReader, algorithm: str) -> Any:
        read.append(str(file.name))
        return file_digest(file, algorithm)

    monkeypatch.setattr(hashlib, "file_digest", noting)
    for _ in range(3):
        init_aws(Settings(), [table], print)
    boto3.client("s3").delete_object(Bucket="feature-store", Key=table.key)
    assert init_aws(Settings(), [table], print)
    assert read == [str(table.path)]
    assert FeatureStore("feature-store").download(table.key) == b"a\n1\n"


def test_who_may_not_create_streams_starts_with_those_that_are_there(
    table: RawTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    init_aws(Settings(), [table], print)
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def refusing(self: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "CreateStream":
            refusal = {"Error": {"Code": "AccessDeniedException", "Message": "not you"}}
            raise ClientError(refusal, operation)  # type: ignore[arg-type]
        return call(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", refusing)
    assert not init_aws(Settings(), [table], print)
    boto3.client("kinesis").delete_stream(StreamName="results")
    with pytest.raises(StreamError, match=r"stream results can not be made: .*not you"):
        init_aws(Settings(), [table], print)


def test_missing_region_is_an_error_in_a_sentence(
    table: RawTable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    init_aws(Settings(), [table], print)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StreamError, match="region"):
        init_aws(Settings(), [], print)


def test_missing_table_is_an_error_that_says_what_to_run(table: RawTable) -> None:
    init_aws(Settings(), [], print)
    with pytest.raises(FeatureStoreError, match="make init_aws"):
        FeatureStore("feature-store").download(table.key)
