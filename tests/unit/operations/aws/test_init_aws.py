"""Bucket, data and streams are made when they are missing; a table that is there stays."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws

from mlstack.contract import Contract
from mlstack.data.feature_store import FeatureStore
from mlstack.data.training_table import has_table
from mlstack.errors import FeatureStoreError, SettingsError
from mlstack.settings import ROOT, Settings
from mlstack.streams.client import StreamError
from operations.aws import init_aws

BUCKET = "chosen-by-us"
MINE = b"a\n1\n"
OTHER = b"a\n2\n"


class _Unreachable:
    def __init__(self, **_: object) -> None:
        pass

    def __call__(self, *_: object) -> None:
        raise requests.ConnectionError("no network")


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("pooch.HTTPDownloader", _Unreachable)
    with mock_aws():
        yield


@pytest.fixture
def plain(tmp_path: Path) -> Settings:
    """With no `DATA_FILE`."""
    return Settings(feature_store_bucket=BUCKET, state_dir=tmp_path / "state")


@pytest.fixture
def given(tmp_path: Path, plain: Settings) -> Settings:
    """With `DATA_FILE`."""
    path = tmp_path / "mine.csv"
    path.write_bytes(MINE)
    return plain.model_copy(update={"data_file": path})


def lost() -> None:
    """What a restart of an emulator does."""
    s3 = boto3.resource("s3").Bucket(BUCKET)
    s3.objects.delete()
    s3.delete()


def there(key: str) -> bytes:
    return FeatureStore(BUCKET).download(key)


@pytest.fixture
def made(documented: Contract) -> Callable[[Settings], list[str]]:
    """Runs `init_aws` and returns what it says."""

    def run(settings: Settings) -> list[str]:
        said: list[str] = []
        init_aws.init_aws(settings, documented, said.append)
        return said

    return run


Made = Callable[[Settings], list[str]]


def test_first_run_makes_everything_and_says_so(
    made: Made, given: Settings, documented: Contract
) -> None:
    key = documented.data.key
    assert made(given) == [
        f"made bucket {BUCKET}",
        f"sent mine.csv (4 bytes) to s3://{BUCKET}/{key}",
        "made stream predictions (2 shards)",
        "made stream results (1 shard)",
        "made stream predictions-dead-letter (1 shard)",
    ]
    assert there(key) == MINE


def test_second_run_changes_nothing(made: Made, given: Settings, documented: Contract) -> None:
    key = documented.data.key
    made(given)
    before = boto3.client("s3").head_object(Bucket=BUCKET, Key=key)["LastModified"]
    assert made(given) == [f"s3://{BUCKET}/{key} has mine.csv"]
    assert boto3.client("s3").head_object(Bucket=BUCKET, Key=key)["LastModified"] == before


def test_a_run_without_data_file_leaves_the_users_table_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, documented: Contract
) -> None:
    """As make runs it: `make init_aws DATA_FILE=...`, and later `make init_aws`."""
    mine = tmp_path / "mine.csv"
    mine.write_bytes(MINE)
    monkeypatch.setattr(sys, "argv", ["init_aws"])
    monkeypatch.setenv("STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("FEATURE_STORE_BUCKET", BUCKET)
    monkeypatch.setenv("DATA_FILE", str(mine))
    init_aws.main()
    monkeypatch.delenv("DATA_FILE")
    init_aws.main()
    assert there(documented.data.key) == MINE


def test_what_stays_is_said_with_where_it_is_from(
    made: Made, given: Settings, plain: Settings, documented: Contract
) -> None:
    made(given)
    address = f"s3://{BUCKET}/{documented.data.key}"
    stays = "stays as it is: 4 bytes of mine.csv (DATA_FILE=... replaces it)"
    assert made(plain) == [f"{address} {stays}"]


def test_a_given_file_replaces_what_is_there(
    made: Made, given: Settings, documented: Contract
) -> None:
    made(given)
    assert given.data_file
    given.data_file.write_bytes(OTHER)
    assert made(given)[0].startswith("sent mine.csv")
    assert there(documented.data.key) == OTHER


def test_a_store_that_forgot_gets_the_users_table_again(
    made: Made, given: Settings, plain: Settings, documented: Contract
) -> None:
    made(given)
    lost()
    assert "sent mine.csv (4 bytes), which it had before, to" in made(plain)[1]
    assert there(documented.data.key) == MINE


def test_a_new_machine_takes_its_copy_from_the_store(
    made: Made, plain: Settings, given: Settings, tmp_path: Path, documented: Contract
) -> None:
    made(given)
    new = plain.model_copy(update={"state_dir": tmp_path / "new"})
    [stays] = made(new)
    assert "stays as it is: 4 bytes (" in stays
    assert there(documented.data.key) == MINE
    lost()
    init_aws.restore_aws(new, print)
    assert there(documented.data.key) == MINE


def test_a_table_that_others_put_into_the_store_stays_and_is_kept(
    made: Made, plain: Settings, given: Settings, documented: Contract
) -> None:
    made(given)
    boto3.client("s3").put_object(Bucket=BUCKET, Key=documented.data.key, Body=OTHER)
    made(plain)
    assert there(documented.data.key) == OTHER
    lost()
    init_aws.restore_aws(plain, print)
    assert there(documented.data.key) == OTHER


def test_the_sample_in_the_store_of_a_new_machine_is_known_as_such(
    made: Made, plain: Settings, tmp_path: Path, documented: Contract
) -> None:
    made(plain)
    assert documented.data.sample
    assert there(documented.data.key) == (ROOT / documented.data.sample).read_bytes()
    new = plain.model_copy(update={"state_dir": tmp_path / "new"})
    assert init_aws.init_aws(new, documented, print).synthetic


def test_contracts_of_one_table_share_its_copy(
    made: Made, given: Settings, plain: Settings, documented: Contract
) -> None:
    other = documented.model_copy(update={"name": "another"})
    made(given)
    assert given.data_file
    given.data_file.write_bytes(OTHER)
    init_aws.init_aws(given, other, print)
    lost()
    made(plain)
    assert there(documented.data.key) == OTHER


def test_another_contracts_table_does_not_replace_the_first_ones(
    given: Settings, plain: Settings, documented: Contract
) -> None:
    data = documented.data.model_copy(update={"key": "another/table.csv"})
    init_aws.init_aws(given, documented, print)
    init_aws.init_aws(plain, documented.model_copy(update={"data": data}), print)
    lost()
    init_aws.restore_aws(plain, print)
    assert there(documented.data.key) == MINE
    assert there("another/table.csv") != MINE


def test_the_keeper_replaces_nothing(
    made: Made, given: Settings, documented: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even what comes between its look and its sending."""
    made(given)
    boto3.client("s3").put_object(Bucket=BUCKET, Key=documented.data.key, Body=OTHER)
    said: list[str] = []
    init_aws.restore_aws(given, said.append)
    monkeypatch.setattr(FeatureStore, "has", lambda *_: False)
    init_aws.restore_aws(given, said.append)
    assert (said, there(documented.data.key)) == ([], OTHER)


def test_what_is_gone_is_made_again(made: Made, given: Settings, documented: Contract) -> None:
    made(given)
    boto3.client("s3").delete_object(Bucket=BUCKET, Key=documented.data.key)
    boto3.client("kinesis").delete_stream(StreamName="results")
    said: list[str] = []
    init_aws.restore_aws(given, said.append)
    assert said == [
        f"sent mine.csv (4 bytes) again to s3://{BUCKET}/{documented.data.key}",
        "made stream results (1 shard)",
    ]


def test_a_store_that_can_not_be_asked_is_no_empty_one(
    made: Made, given: Settings, plain: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(given)
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def refusing(self: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "HeadObject":
            refusal = {
                "Error": {"Code": "403", "Message": "Forbidden"},
                "ResponseMetadata": {"HTTPStatusCode": 403},
            }
            raise ClientError(refusal, operation)  # type: ignore[arg-type]
        return call(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", refusing)
    with pytest.raises(FeatureStoreError, match="refuses"):
        made(plain)


def test_no_bucket_is_guessed(made: Made, given: Settings) -> None:
    """In AWS a name that nobody chose is somebody else's."""
    with pytest.raises(SettingsError, match=r"FEATURE_STORE_BUCKET is empty.*\.env\."):
        made(given.model_copy(update={"feature_store_bucket": ""}))


def test_who_may_not_create_streams_starts_with_those_that_are_there(
    made: Made, given: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(given)
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def refusing(self: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "CreateStream":
            refusal = {"Error": {"Code": "AccessDeniedException", "Message": "not you"}}
            raise ClientError(refusal, operation)  # type: ignore[arg-type]
        return call(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", refusing)
    made(given)
    boto3.client("kinesis").delete_stream(StreamName="results")
    with pytest.raises(StreamError, match=r"stream results .*not you"):
        made(given)


def test_missing_region_is_an_error_in_a_sentence(
    made: Made, given: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made(given)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StreamError, match="region"):
        made(given)


def test_missing_table_is_an_error_that_says_what_to_run() -> None:
    store = FeatureStore(BUCKET)
    store.create()
    with pytest.raises(FeatureStoreError, match="make init_aws"):
        store.download("none.csv")


def test_nothing_is_kept_before_there_was_anything(made: Made, plain: Settings) -> None:
    assert not has_table(plain)
    made(plain)
    assert has_table(plain)
