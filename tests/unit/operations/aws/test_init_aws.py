"""Bucket, table and streams are created when they are missing; an existing table stays."""

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
from mlstack.errors import DataError, FeatureStoreError, SettingsError
from mlstack.settings import ROOT, Settings
from mlstack.streams.client import StreamError
from operations.aws import init_aws
from tests.support.raw_tables import raw_table

BUCKET = "chosen-by-us"
_CONTRACT = Contract.load(ROOT / "contracts" / "credit_card_churn.yaml")
MINE = raw_table(_CONTRACT, 30).to_csv(index=False).encode()
OTHER = raw_table(_CONTRACT, 33).to_csv(index=False).encode()


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


def forget() -> None:
    """Empty the store, as a restart of an emulator does."""
    s3 = boto3.resource("s3").Bucket(BUCKET)
    s3.objects.delete()
    s3.delete()


def stored(key: str) -> bytes:
    return FeatureStore(BUCKET).download(key)


@pytest.fixture
def run(documented: Contract) -> Callable[[Settings], list[str]]:
    """Runs `init_aws` and returns what it reports."""

    def run_init_aws(settings: Settings) -> list[str]:
        said: list[str] = []
        init_aws.init_aws(settings, documented, said.append)
        return said

    return run_init_aws


Run = Callable[[Settings], list[str]]


def test_first_run_creates_everything(run: Run, given: Settings, documented: Contract) -> None:
    """Bucket, table and streams are created and reported."""
    key = documented.data.key
    assert run(given) == [
        f"created bucket {BUCKET}",
        f"sent mine.csv ({len(MINE):,} bytes) to s3://{BUCKET}/{key}",
        "created stream predictions (2 shards)",
        "created stream results (1 shard)",
        "created stream predictions-dead-letter (1 shard)",
    ]
    assert stored(key) == MINE


def test_refused_table_creates_nothing(run: Run, given: Settings) -> None:
    """Neither a bucket nor a stream."""
    assert isinstance(given.data_file, Path)
    given.data_file.write_bytes(MINE.replace(b"Customer_Age", b"Age"))
    with pytest.raises(DataError, match="'Customer_Age': is not in the table"):
        run(given)
    assert not boto3.client("s3").list_buckets()["Buckets"]
    assert not boto3.client("kinesis").list_streams()["StreamNames"]


def test_second_run_changes_nothing(run: Run, given: Settings, documented: Contract) -> None:
    """A repetition leaves everything as it is."""
    key = documented.data.key
    run(given)
    before = boto3.client("s3").head_object(Bucket=BUCKET, Key=key)["LastModified"]
    assert run(given) == [f"s3://{BUCKET}/{key} has mine.csv"]
    assert boto3.client("s3").head_object(Bucket=BUCKET, Key=key)["LastModified"] == before


def test_run_without_data_file_keeps_users_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, documented: Contract
) -> None:
    """`make init_aws DATA_FILE=...`, then `make init_aws`: the file stays."""
    mine = tmp_path / "mine.csv"
    mine.write_bytes(MINE)
    monkeypatch.setattr(sys, "argv", ["init_aws"])
    monkeypatch.setenv("STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("FEATURE_STORE_BUCKET", BUCKET)
    monkeypatch.setenv("DATA_FILE", str(mine))
    init_aws.main()
    monkeypatch.delenv("DATA_FILE")
    init_aws.main()
    assert stored(documented.data.key) == MINE


def test_kept_table_is_reported_with_origin(
    run: Run, given: Settings, plain: Settings, documented: Contract
) -> None:
    """The report says which file the kept table came from."""
    run(given)
    address = f"s3://{BUCKET}/{documented.data.key}"
    stays = f"is unchanged: {len(MINE):,} bytes from mine.csv (set DATA_FILE=... to replace it)"
    assert run(plain) == [f"{address} {stays}"]


def test_given_file_replaces_table(run: Run, given: Settings, documented: Contract) -> None:
    """`DATA_FILE` replaces the table in the store."""
    run(given)
    assert isinstance(given.data_file, Path)
    given.data_file.write_bytes(OTHER)
    assert run(given)[0].startswith("sent mine.csv")
    assert stored(documented.data.key) == OTHER


def test_emptied_store_gets_users_table_again(
    run: Run, given: Settings, plain: Settings, documented: Contract
) -> None:
    """After a restart of the emulator the user's table is sent again, not the sample."""
    run(given)
    forget()
    assert f"restored mine.csv ({len(MINE):,} bytes) to" in run(plain)[1]
    assert stored(documented.data.key) == MINE


def test_new_machine_copies_table_from_store(
    run: Run, plain: Settings, given: Settings, tmp_path: Path, documented: Contract
) -> None:
    """A machine without a copy of the table takes one, and can restore the store from it."""
    run(given)
    new = plain.model_copy(update={"state_dir": tmp_path / "new"})
    [stays] = run(new)
    assert f"is unchanged: {len(MINE):,} bytes (" in stays
    assert stored(documented.data.key) == MINE
    forget()
    init_aws.Restorer(new, print).restore()
    assert stored(documented.data.key) == MINE


def test_table_from_elsewhere_is_kept(
    run: Run, plain: Settings, given: Settings, documented: Contract
) -> None:
    """A table that somebody else put into the store stays, and is restored."""
    run(given)
    boto3.client("s3").put_object(Bucket=BUCKET, Key=documented.data.key, Body=OTHER)
    run(plain)
    assert stored(documented.data.key) == OTHER
    forget()
    init_aws.Restorer(plain, print).restore()
    assert stored(documented.data.key) == OTHER


def test_new_machine_recognises_sample(
    run: Run, plain: Settings, tmp_path: Path, documented: Contract
) -> None:
    """A machine without a copy knows that the store has the synthetic sample."""
    run(plain)
    assert documented.data.sample
    assert stored(documented.data.key) == (ROOT / documented.data.sample).read_bytes()
    new = plain.model_copy(update={"state_dir": tmp_path / "new"})
    assert init_aws.init_aws(new, documented, print).synthetic


def test_contracts_of_one_table_share_its_copy(
    run: Run, given: Settings, plain: Settings, documented: Contract
) -> None:
    """Two contracts with the same key restore the newest table."""
    other = documented.model_copy(update={"name": "another"})
    run(given)
    assert isinstance(given.data_file, Path)
    given.data_file.write_bytes(OTHER)
    init_aws.init_aws(given, other, print)
    forget()
    run(plain)
    assert stored(documented.data.key) == OTHER


def test_tables_of_contracts_stay_apart(
    given: Settings, plain: Settings, documented: Contract
) -> None:
    """The table of one contract does not replace that of another."""
    data = documented.data.model_copy(update={"key": "another/table.csv"})
    init_aws.init_aws(given, documented, print)
    init_aws.init_aws(plain, documented.model_copy(update={"data": data}), print)
    forget()
    init_aws.Restorer(plain, print).restore()
    assert stored(documented.data.key) == MINE
    assert stored("another/table.csv") != MINE


def test_restore_replaces_nothing(
    run: Run, given: Settings, documented: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a table that arrives between the check and the upload."""
    run(given)
    boto3.client("s3").put_object(Bucket=BUCKET, Key=documented.data.key, Body=OTHER)
    said: list[str] = []
    init_aws.Restorer(given, said.append).restore()
    monkeypatch.setattr(FeatureStore, "has", lambda *_: False)
    init_aws.Restorer(given, said.append).restore()
    assert (said, stored(documented.data.key)) == ([], OTHER)


def test_restore_creates_what_is_gone(run: Run, given: Settings, documented: Contract) -> None:
    """A table and a stream that are gone are created again, and reported."""
    run(given)
    boto3.client("s3").delete_object(Bucket=BUCKET, Key=documented.data.key)
    boto3.client("kinesis").delete_stream(StreamName="results")
    said: list[str] = []
    init_aws.Restorer(given, said.append).restore()
    assert said == [
        f"restored mine.csv ({len(MINE):,} bytes) to s3://{BUCKET}/{documented.data.key}",
        "created stream results (1 shard)",
    ]


def test_refusing_store_is_not_empty(
    run: Run, given: Settings, plain: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that refuses access does not count as empty."""
    run(given)
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
    with pytest.raises(FeatureStoreError, match="rejected"):
        run(plain)


def test_bucket_name_is_required(run: Run, given: Settings) -> None:
    """In AWS a name that nobody chose belongs to somebody else."""
    with pytest.raises(SettingsError, match=r"FEATURE_STORE_BUCKET is empty.*\.env\."):
        run(given.model_copy(update={"feature_store_bucket": ""}))


def test_existing_streams_need_no_right_to_create(
    run: Run, given: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams that exist are used; the right to create is needed only for missing ones."""
    run(given)
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def refusing(self: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "CreateStream":
            refusal = {"Error": {"Code": "AccessDeniedException", "Message": "not you"}}
            raise ClientError(refusal, operation)  # type: ignore[arg-type]
        return call(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", refusing)
    run(given)
    boto3.client("kinesis").delete_stream(StreamName="results")
    with pytest.raises(StreamError, match=r"stream results .*not you"):
        run(given)


def test_missing_region_is_reported(
    run: Run, given: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A missing region is an error with a sentence."""
    run(given)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StreamError, match="region"):
        run(given)


def test_missing_table_names_command() -> None:
    """The error says which target creates the table."""
    store = FeatureStore(BUCKET)
    store.create()
    with pytest.raises(FeatureStoreError, match="make init_aws"):
        store.download("none.csv")


def test_nothing_to_keep_before_first_run(run: Run, plain: Settings) -> None:
    """The keeper creates nothing before the first `make init_aws`."""
    assert not has_table(plain)
    run(plain)
    assert has_table(plain)


def test_bad_table_is_refused_and_not_sent(run: Run, given: Settings, plain: Settings) -> None:
    """A table that training would refuse replaces none, and is named with its faults."""
    run(given)
    assert isinstance(given.data_file, Path)
    given.data_file.write_bytes(MINE.replace(b"Gender", b"Sex"))
    with pytest.raises(DataError, match=r"^mine.csv cannot be used: column 'Gender': is not in"):
        run(given)
    assert "is unchanged" in run(plain)[0]
    assert stored(_CONTRACT.data.key) == MINE


def test_table_of_another_contract_is_refused(run: Run, given: Settings, plain: Settings) -> None:
    """A table that is already in the store is checked, too."""
    run(given)
    boto3.client("s3").put_object(Bucket=BUCKET, Key=_CONTRACT.data.key, Body=b"a,b\n1,2\n")
    with pytest.raises(DataError, match=r"^s3://.* cannot be used: no column of the contract"):
        run(plain)


def test_what_is_left_out_is_reported(run: Run, given: Settings) -> None:
    assert isinstance(given.data_file, Path)
    given.data_file.write_bytes(MINE.replace(b"\n", b",,\n"))
    assert "left out: empty columns without a name (number 13, 14)" in run(given)
