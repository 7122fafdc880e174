"""The user's file, else the public one, else the sample; what was decided on is kept."""

from pathlib import Path

import pytest
import requests

from mlstack import raw_data
from mlstack.contract import Contract
from mlstack.errors import SettingsError
from mlstack.settings import Settings
from support.raw_tables import raw_table


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


def test_given_file_wins(tmp_path: Path, documented: Contract) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("a\n1\n")
    table = raw_data.obtain(Settings(data_file=file, state_dir=tmp_path), documented)
    assert (table.path, table.synthetic) == (file, False)


def test_given_file_that_is_not_there_is_an_error_and_no_guess(
    tmp_path: Path, documented: Contract
) -> None:
    settings = Settings(data_file=tmp_path / "nowhere.csv", state_dir=tmp_path)
    with pytest.raises(SettingsError, match=r"DATA_FILE=.*nowhere\.csv: there is no such file"):
        raw_data.obtain(settings, documented)


def test_public_file_is_fetched_and_recognised(
    tmp_path: Path, documented: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = raw_table(documented, 30).to_csv(index=False).encode()
    monkeypatch.setattr("pooch.HTTPDownloader", published(content))
    table = raw_data.obtain(Settings(state_dir=tmp_path), small_public(documented, 30))
    assert (table.path.read_bytes(), table.synthetic) == (content, False)


def test_public_file_is_fetched_once(
    tmp_path: Path, documented: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, contract = Settings(state_dir=tmp_path), small_public(documented, 30)
    content = raw_table(documented, 30).to_csv(index=False).encode()
    monkeypatch.setattr("pooch.HTTPDownloader", published(content))
    raw_data.obtain(settings, contract)
    monkeypatch.setattr("pooch.HTTPDownloader", _Unreachable)
    assert raw_data.obtain(settings, contract).path.read_bytes() == content


@pytest.mark.parametrize("rows", [29, 31])
def test_another_table_at_the_public_address_is_not_taken(
    tmp_path: Path, documented: Contract, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    content = raw_table(documented, rows).to_csv(index=False).encode()
    monkeypatch.setattr("pooch.HTTPDownloader", published(content))
    table = raw_data.obtain(Settings(state_dir=tmp_path), small_public(documented, 30))
    assert table.synthetic
    assert not list((tmp_path / "data" / "public").glob("*.csv"))


def test_sample_is_the_last_resort_and_said_to_be_synthetic(
    tmp_path: Path, documented: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pooch.HTTPDownloader", _Unreachable)
    table = raw_data.obtain(Settings(state_dir=tmp_path), documented)
    assert table.synthetic
    assert table.path.exists()


def test_contract_with_no_data_at_all_says_what_to_set(
    tmp_path: Path, documented: Contract
) -> None:
    data = documented.data.model_copy(update={"public": None, "sample": None})
    with pytest.raises(SettingsError, match="set DATA_FILE"):
        raw_data.obtain(Settings(state_dir=tmp_path), documented.model_copy(update={"data": data}))


def test_decision_outlives_the_file_that_it_was_made_from(
    tmp_path: Path, documented: Contract
) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("a\n1\n")
    settings = Settings(data_file=file, state_dir=tmp_path / "state")
    decided = raw_data.decide(settings, documented)
    file.unlink()
    assert raw_data.decided(settings) == [decided]
    assert decided.path.read_text() == "a\n1\n"
    assert decided.key == documented.data.key


def test_the_copy_of_a_private_file_is_private_too(tmp_path: Path, documented: Contract) -> None:
    given = tmp_path / "mine.csv"
    given.write_text("a,b\n1,2\n")
    given.chmod(0o600)
    settings = Settings(data_file=given, state_dir=tmp_path / "state")
    assert raw_data.decide(settings, documented).path.stat().st_mode & 0o077 == 0
