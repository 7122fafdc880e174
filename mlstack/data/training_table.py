"""Which raw training table the feature store has: the user's file, what is there, or a found one.

A copy is kept in the state folder, so that a feature store which forgot it (the emulators do at
a restart) gets the same table again.
"""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pooch
import requests
from pydantic import BaseModel, ConfigDict

from mlstack.contract.contract import Contract, PublicData
from mlstack.data.dataset import read_raw
from mlstack.data.feature_store import FeatureStore
from mlstack.errors import DataError, DataFault, SettingsError
from mlstack.files import write_atomically
from mlstack.settings import ROOT, Settings

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 10
_READ_SECONDS = 60


class RawTable(BaseModel):
    """A raw table on disk and where it is from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    key: str
    """S3 key under which the feature store has it."""
    origin: str
    """Where it is from, for people."""
    synthetic: bool
    """Whether it is the project's own sample: what is learnt from it is a demonstration."""


def bring(
    settings: Settings, contract: Contract, store: FeatureStore, say: Callable[[str], None]
) -> RawTable:
    """Makes sure that the feature store has a contract's raw table, and that a copy is kept.

    `DATA_FILE` replaces what the store has; without it that stays, whatever it is. When it has
    none it gets what it had before, else the public file, else the synthetic sample.

    Args:
        settings: `DATA_FILE` and the state folder.
        contract: Says under which key the store has it; contracts may share one.
        store: Its bucket has to be there.
        say: Is told which of these it was.

    Returns:
        The table that the store has now; its path is that of the copy.

    Raises:
        SettingsError: `DATA_FILE` is not there, or there is no table to be had at all.
        FeatureStoreError: S3 cannot be reached or refuses.
    """
    key = contract.data.key
    address = store.address(key)
    if settings.data_file is not None:
        table = _keep(settings, _given(settings.data_file, key))
        sent = store.replace(key, table.path)
        say(f"sent {_described(table)} to {address}" if sent else f"{address} has {table.origin}")
        return table
    kept = _kept(settings, key)
    if store.has(key):
        content = store.download(key)
        if kept is None or kept.path.read_bytes() != content:
            kept = _keep(settings, _there(settings, contract, address, content))
        size = f"{len(content):,} bytes"
        origin = "" if kept.origin == address else f" of {kept.origin}"
        say(f"{address} stays as it is: {size}{origin} (DATA_FILE=... replaces it)")
        return kept
    table = kept or _keep(settings, _found(settings, contract))
    store.add(key, table.path)
    again = ", which it had before," if kept else ""
    say(f"sent {_described(table)}{again} to {address}")
    return table


def was_brought(settings: Settings) -> bool:
    """Whether the feature store has had a table."""
    return any(_folder(settings).glob("*.json"))


def bring_back(settings: Settings, store: FeatureStore, say: Callable[[str], None]) -> None:
    """Gives the feature store every table that it had and has no more.

    Raises:
        FeatureStoreError: S3 cannot be reached or refuses.
    """
    for path in sorted(_folder(settings).glob("*.json")):
        table = RawTable.model_validate_json(path.read_bytes())
        if store.add(table.key, table.path):
            say(f"sent {_described(table)} again to {store.address(table.key)}")


def _described(table: RawTable) -> str:
    return f"{table.origin} ({table.path.stat().st_size:,} bytes)"


def _folder(settings: Settings) -> Path:
    return settings.state_path / "data"


def _record(settings: Settings, key: str) -> Path:
    # By key: contracts that share a table share its copy.
    return _folder(settings) / f"{quote(key, safe='')}.json"


def _kept(settings: Settings, key: str) -> RawTable | None:
    record = _record(settings, key)
    return RawTable.model_validate_json(record.read_bytes()) if record.exists() else None


def _keep(settings: Settings, table: RawTable) -> RawTable:
    record = _record(settings, table.key)
    copy = record.with_suffix(".csv")
    if table.path != copy:
        # The user's own table may be nobody else's to read.
        write_atomically(copy, table.path.read_bytes(), mode=0o600)
    kept = table.model_copy(update={"path": copy})
    write_atomically(record, kept.model_dump_json(indent=2).encode())
    return kept


def _given(file: Path, key: str) -> RawTable:
    path = ROOT / file
    if not path.is_file():
        raise SettingsError(f"DATA_FILE={file}: there is no such file")
    return RawTable(path=path, key=key, origin=file.name, synthetic=False)


def _there(settings: Settings, contract: Contract, address: str, content: bytes) -> RawTable:
    path = _record(settings, contract.data.key).with_suffix(".csv")
    write_atomically(path, content, mode=0o600)
    sample = contract.data.sample
    synthetic = sample is not None and (ROOT / sample).read_bytes() == content
    return RawTable(path=path, key=contract.data.key, origin=address, synthetic=synthetic)


def _found(settings: Settings, contract: Contract) -> RawTable:
    key = contract.data.key
    public = contract.data.public
    if public is not None:
        try:
            path = _fetch(public, contract, _folder(settings) / "public")
            return RawTable(path=path, key=key, origin=public.title, synthetic=False)
        except (requests.RequestException, OSError, DataError, ValueError) as error:
            log.warning("the public data cannot be used: %s", error)
    if contract.data.sample is not None:
        return RawTable(
            path=ROOT / contract.data.sample,
            key=key,
            origin=f"the synthetic sample {contract.data.sample}",
            synthetic=True,
        )
    raise SettingsError(f"there is no data for {contract.name}: set DATA_FILE to your table")


def _fetch(public: PublicData, contract: Contract, folder: Path) -> Path:
    name = f"{hashlib.sha256(public.url.encode()).hexdigest()[:16]}.csv"
    timeout = (_CONNECT_SECONDS, _READ_SECONDS)

    def download(url: str, output: str, _: object) -> None:
        pooch.HTTPDownloader(timeout=timeout)(url, output, None)
        # Checked before it gets its name: what is kept is what was recognised.
        _recognise(Path(output).read_bytes(), public, contract)

    # Copies of the file differ byte for byte, so it is known by its counts, not by a hash.
    return Path(
        pooch.retrieve(public.url, known_hash=None, fname=name, path=folder, downloader=download)
    )


def _recognise(content: bytes, public: PublicData, contract: Contract) -> None:
    raw = read_raw(content)
    absent = [f.raw for f in contract.features if f.raw not in raw.columns]
    if absent or contract.target.raw not in raw.columns:
        raise DataError(DataFault(f"{public.url} is another table: it lacks {absent}"))
    positives = int((raw[contract.target.raw] == contract.target.positive).sum())
    if (len(raw), positives) != (public.rows, public.positives):
        raise DataError(
            DataFault(
                f"{public.url} has {len(raw)} rows and {positives} positives; "
                f"{public.rows} and {public.positives} are expected"
            )
        )
