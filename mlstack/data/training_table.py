"""Choose the raw training table and upload it to the feature store.

The state folder keeps a copy, because the AWS emulators lose everything on a restart.
"""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pooch
import requests
from pydantic import BaseModel, ConfigDict

from mlstack.contract import Contract
from mlstack.contract.contract import PublicData
from mlstack.contract.target import BinaryTarget
from mlstack.data.canonical import canonical
from mlstack.data.dataset import check_table, read_raw
from mlstack.data.feature_store import FeatureStore
from mlstack.data.kept_tables import FOLDER, KeptTables
from mlstack.data.table_source import read_source
from mlstack.data.used_columns import check_columns, used_columns
from mlstack.errors import DataError, DataFault, SettingsError
from mlstack.files import write_atomically
from mlstack.settings import ROOT, Settings

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 10
_READ_SECONDS = 60


class RawTable(BaseModel):
    """A raw table on disk, and its origin."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    key: str
    """S3 key of the table in the feature store."""
    origin: str
    """Where the table came from, for messages."""
    synthetic: bool
    """Whether it is the project's synthetic sample, suitable only for demonstrations."""


def ensure_table(
    settings: Settings, contract: Contract, store: FeatureStore, say: Callable[[str], None]
) -> RawTable:
    """Ensure that the feature store has a contract's raw table; return a local copy.

    `DATA_FILE` replaces the table in the store. Otherwise an existing table stays, and an empty
    store gets the copy, else the public file, else the synthetic sample. Contracts with the same
    key share a table. `say` is called with messages about the table in the store, whose bucket is
    created if it is missing.

    Raises:
        DataError: training would refuse the table; a table from here is then not sent.
        SettingsError: `DATA_FILE` does not exist, or no table is available.
        FeatureStoreError: S3 cannot be reached or rejects a request.
    """
    table = _ensure_current(settings, contract, store, say)
    KeptTables(settings).keep(table.path.read_bytes(), store)
    return table


def _ensure_current(
    settings: Settings, contract: Contract, store: FeatureStore, say: Callable[[str], None]
) -> RawTable:
    key = contract.data.key
    address = store.address(key)
    if settings.data_file is not None:
        content, origin = read_source(settings.data_file), settings.data_file.name
        _check(content, contract, origin, say)
        store.create(say)
        table = _save_copy(settings, key, content, origin)
        sent = store.replace(key, table.path)
        say(f"sent {_describe(table)} to {address}" if sent else f"{address} has {table.origin}")
        return table
    copy = _load_copy(settings, key)
    if store.has(key):
        content = store.download(key)
        _check(content, contract, address, say)
        if copy is None or copy.path.read_bytes() != content:
            synthetic = content == _read_sample(contract)
            copy = _save_copy(settings, key, content, address, synthetic=synthetic)
        size = f"{len(content):,} bytes"
        origin = "" if copy.origin == address else f" from {copy.origin}"
        say(f"{address} is unchanged: {size}{origin} (set DATA_FILE=... to replace it)")
        return copy
    verb = "restored" if copy else "sent"
    table = copy or _save_default_table(settings, contract)
    _check(table.path, contract, table.origin, say)
    store.create(say)
    store.add(key, table.path)
    say(f"{verb} {_describe(table)} to {address}")
    return table


def has_table(settings: Settings) -> bool:
    """Return whether the feature store has ever had a table."""
    return any(_folder(settings).glob("*.json"))


def current_tables(settings: Settings) -> list[RawTable]:
    """List the tables on which contracts train now."""
    return [_read_record(path) for path in sorted(_folder(settings).glob("*.json"))]


def restore_tables(settings: Settings, store: FeatureStore, say: Callable[[str], None]) -> None:
    """Upload every table that the feature store has lost.

    Raises FeatureStoreError if S3 cannot be reached or rejects a request.
    """
    KeptTables(settings).restore(store, say)
    for table in current_tables(settings):
        if store.add(table.key, table.path):
            say(f"restored {_describe(table)} to {store.address(table.key)}")


def _check(
    source: Path | bytes, contract: Contract, origin: str, say: Callable[[str], None]
) -> None:
    for left_out in check_table(source, contract, origin):
        say(left_out)


def _describe(table: RawTable) -> str:
    return f"{table.origin} ({table.path.stat().st_size:,} bytes)"


def _folder(settings: Settings) -> Path:
    return settings.state_path / "data"


def _record_path(settings: Settings, key: str) -> Path:
    # Named after the key, because contracts that share a table share its copy.
    return _folder(settings) / f"{quote(key, safe='')}.json"


def _load_copy(settings: Settings, key: str) -> RawTable | None:
    record = _record_path(settings, key)
    return _read_record(record) if record.exists() else None


def _read_record(record: Path) -> RawTable:
    table = RawTable.model_validate_json(record.read_bytes())
    kept = record.parent / FOLDER / table.path.name
    # In this folder, even if it was renamed since; releases before kept it beside its record.
    return table.model_copy(update={"path": kept if kept.exists() else record.with_suffix(".csv")})


def _save_copy(
    settings: Settings, key: str, content: bytes, origin: str, *, synthetic: bool = False
) -> RawTable:
    record = _record_path(settings, key)
    path = KeptTables(settings).save(content)
    table = RawTable(path=path, key=key, origin=origin, synthetic=synthetic)
    write_atomically(record, table.model_dump_json(indent=2).encode())
    record.with_suffix(".csv").unlink(missing_ok=True)
    return table


def _read_sample(contract: Contract) -> bytes | None:
    sample = contract.data.sample
    return None if sample is None else (ROOT / sample).read_bytes()


def _save_default_table(settings: Settings, contract: Contract) -> RawTable:
    """Fetch the public file, or fall back to the synthetic sample."""
    key, public = contract.data.key, contract.data.public
    if public is not None:
        try:
            content = _fetch(public, contract, _folder(settings) / "public").read_bytes()
        except (requests.RequestException, OSError, DataError, ValueError) as error:
            log.warning("the public data cannot be used: %s", error)
        else:
            return _save_copy(settings, key, content, public.title)
    sample = _read_sample(contract)
    if sample is None:
        raise SettingsError(f"there is no data for {contract.name}: set DATA_FILE to your table")
    origin = f"the synthetic sample {contract.data.sample}"
    return _save_copy(settings, key, sample, origin, synthetic=True)


def _fetch(public: PublicData, contract: Contract, folder: Path) -> Path:
    name = f"{hashlib.sha256(public.url.encode()).hexdigest()[:16]}.csv"
    timeout = (_CONNECT_SECONDS, _READ_SECONDS)

    def download(url: str, output: str, _: object) -> None:
        pooch.HTTPDownloader(timeout=timeout)(url, output, None)
        # Check before pooch renames the file, so that a wrong table is never kept.
        _check_public(Path(output).read_bytes(), public, contract)

    # Published copies differ byte for byte, so there is no known hash; see `_check_public`.
    return Path(
        pooch.retrieve(public.url, known_hash=None, fname=name, path=folder, downloader=download)
    )


def _check_public(content: bytes, public: PublicData, contract: Contract) -> None:
    raw = read_raw(content)
    check_columns(raw, used_columns(contract))
    found, expected = f"{len(raw)} rows", f"{public.rows} rows"
    if public.positives is not None and isinstance(contract.target, BinaryTarget):
        outcomes = raw[canonical(contract.target.raw)]
        positives = int(outcomes.isin(contract.target.class_texts[1]).sum())
        found += f" and {positives} positives"
        expected += f" and {public.positives} positives"
    if found != expected:
        raise DataError(DataFault(f"{public.url} has {found}; expected {expected}"))
