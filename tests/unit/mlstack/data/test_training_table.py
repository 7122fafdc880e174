"""Tests of the choice of table: the user's file, the store's, the public one or the sample."""

import uuid
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import boto3
import pytest
import requests
from moto import mock_aws

from mlstack.contract import Contract
from mlstack.data.dataset import read_raw
from mlstack.data.feature_store import FeatureStore
from mlstack.data.training_table import RawTable, ensure_table
from mlstack.errors import SettingsError
from mlstack.settings import Settings
from tests.support.aws import KEYS
from tests.support.raw_tables import raw_table


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield


def ensure(settings: Settings, contract: Contract) -> RawTable:
    """Call `ensure_table` with an empty store."""
    store = FeatureStore(f"bucket-{uuid.uuid4()}")
    store.create()
    return ensure_table(settings, contract, store, print)


class _Unreachable:
    def __init__(self, **_: object) -> None:
        pass

    def __call__(self, *_: object) -> None:
        raise requests.ConnectionError("no network")


def published(content: bytes) -> type:
    """A downloader of a public address that holds `content`."""

    class Downloader:
        def __init__(self, **_: object) -> None:
            pass

        def __call__(self, _url: str, output: str, _pooch: object) -> None:
            Path(output).write_bytes(content)

    return Downloader


def small_public(contract: Contract, rows: int) -> Contract:
    """The contract, but its public table has `rows` rows, a third of them positive."""
    assert contract.data.public
    public = contract.data.public.model_copy(update={"rows": rows, "positives": rows // 3})
    return contract.model_copy(update={"data": contract.data.model_copy(update={"public": public})})


def test_missing_data_file_is_an_error(tmp_path: Path, documented: Contract) -> None:
    settings = Settings(data_file=tmp_path / "nowhere.csv", state_dir=tmp_path)
    with pytest.raises(SettingsError, match=r"DATA_FILE=.*nowhere\.csv: file not found"):
        ensure(settings, documented)


def test_public_file_is_fetched_and_recognised(
    tmp_path: Path, documented: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = raw_table(documented, 30).to_csv(index=False).encode()
    monkeypatch.setattr("pooch.HTTPDownloader", published(content))
    table = ensure(Settings(state_dir=tmp_path), small_public(documented, 30))
    assert (table.path.read_bytes(), table.synthetic) == (content, False)


def test_public_file_is_fetched_once(
    tmp_path: Path, documented: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, contract = Settings(state_dir=tmp_path), small_public(documented, 30)
    content = raw_table(documented, 30).to_csv(index=False).encode()
    monkeypatch.setattr("pooch.HTTPDownloader", published(content))
    ensure(settings, contract)
    monkeypatch.setattr("pooch.HTTPDownloader", _Unreachable)
    data = contract.data.model_copy(update={"key": "another/table.csv"})
    assert ensure(settings, contract.model_copy(update={"data": data})).path.read_bytes() == content


@pytest.mark.parametrize(("rows", "absent"), [(29, []), (31, []), (30, ["Gender"])])
def test_wrong_table_at_public_address_is_refused(
    tmp_path: Path,
    documented: Contract,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    absent: list[str],
) -> None:
    content = raw_table(documented, rows).drop(columns=absent).to_csv(index=False).encode()
    monkeypatch.setattr("pooch.HTTPDownloader", published(content))
    table = ensure(Settings(state_dir=tmp_path), small_public(documented, 30))
    assert table.synthetic
    assert not list((tmp_path / "data" / "public").glob("*.csv"))


def test_sample_is_the_last_resort_and_marked_synthetic(
    tmp_path: Path, documented: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pooch.HTTPDownloader", _Unreachable)
    table = ensure(Settings(state_dir=tmp_path), documented)
    assert table.synthetic
    assert table.path.exists()


def test_contract_without_any_data_names_the_setting(tmp_path: Path, documented: Contract) -> None:
    data = documented.data.model_copy(update={"public": None, "sample": None})
    with pytest.raises(SettingsError, match="set DATA_FILE"):
        ensure(Settings(state_dir=tmp_path), documented.model_copy(update={"data": data}))


def test_copy_of_a_private_file_is_private(tmp_path: Path, documented: Contract) -> None:
    given = tmp_path / "mine.csv"
    given.write_text(raw_table(documented, 30).to_csv(index=False))
    given.chmod(0o600)
    settings = Settings(data_file=given, state_dir=tmp_path / "state")
    assert ensure(settings, documented).path.stat().st_mode & 0o077 == 0


def in_s3(*keys: str, contract: Contract) -> None:
    """Put a table of 30 rows as Parquet into the bucket `theirs`, under each key."""
    file = BytesIO()
    raw_table(contract, 30).to_parquet(file, index=False)
    s3 = boto3.resource("s3").Bucket("theirs")
    s3.create()
    for key in keys:
        s3.put_object(Key=key, Body=file.getvalue())


@pytest.mark.parametrize(
    ("address", "rows"),
    [
        ("s3://theirs/may.parquet", 30),
        ("s3://theirs/months/", 60),
        ("s3://theirs/months", 60),
    ],
)
def test_table_comes_from_s3(tmp_path: Path, documented: Contract, address: str, rows: int) -> None:
    """An object or a folder of Parquet files, in any bucket of the environment's S3."""
    marks = ("months/_SUCCESS", "months_/4.parquet")
    in_s3("may.parquet", "months/1.parquet", "months/2.parquet", *marks, contract=documented)
    settings = Settings.model_validate({"data_file": address, "state_dir": tmp_path})
    table = ensure(settings, documented)
    assert len(read_raw(table.path.read_bytes())) == rows
    assert table.origin == address.rstrip("/").rpartition("/")[2]


@pytest.mark.parametrize("address", ["s3://theirs/june", "s3://nobodys/table.csv"])
def test_table_absent_from_s3_is_an_error(
    tmp_path: Path, documented: Contract, address: str
) -> None:
    in_s3("may.parquet", contract=documented)
    settings = Settings.model_validate({"data_file": address, "state_dir": tmp_path})
    with pytest.raises(SettingsError, match=f"DATA_FILE={address}: there is neither"):
        ensure(settings, documented)


@pytest.mark.parametrize("address", ["s3://", "s3://bucket", "s3://bucket/", "s3:///key"])
def test_incomplete_address_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("DATA_FILE", address)
    with pytest.raises(SettingsError, match="write s3://BUCKET/KEY"):
        Settings.load()


def test_stored_type_follows_the_format(tmp_path: Path, documented: Contract) -> None:
    """S3 names the type of what is stored, whatever the contract calls it."""
    raw = raw_table(documented, 30)
    bucket = f"bucket-{uuid.uuid4()}"
    store = FeatureStore(bucket)
    store.create()
    types = []
    for name, write in (
        ("a.csv", raw.to_csv),
        ("a.tsv", partial(raw.to_csv, sep="\t")),
        ("a.csv.gz", raw.to_csv),
        ("a.parquet", raw.to_parquet),
    ):
        write(tmp_path / name, index=False)
        settings = Settings(data_file=tmp_path / name, state_dir=tmp_path / "state")
        ensure_table(settings, documented, store, print)
        found = boto3.client("s3").head_object(Bucket=bucket, Key=documented.data.key)
        types.append(found["ContentType"])
    assert types == [
        "text/csv",
        "text/tab-separated-values",
        "application/gzip",
        "application/vnd.apache.parquet",
    ]
