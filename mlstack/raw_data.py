"""Where the raw training table comes from: the user's file, the public one, or the sample.

What was decided on is kept in the state folder, so that a feature store which forgot it (the
emulators do at a restart) gets the same table again.
"""

import hashlib
import logging
from pathlib import Path

import pooch
import requests
from pydantic import BaseModel, ConfigDict

from mlstack.contract import Contract, PublicData
from mlstack.dataset import read_raw
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


def decide(settings: Settings, contract: Contract) -> RawTable:
    """Obtains the raw table of a contract and keeps the decision in the state folder.

    Raises:
        SettingsError: as `obtain`.
    """
    table = obtain(settings, contract)
    folder = settings.state_path / "data"
    copy = folder / f"{contract.name}.csv"
    content = table.path.read_bytes()
    if not copy.exists() or copy.read_bytes() != content:
        # The user's own table may be nobody else's to read.
        write_atomically(copy, content, mode=0o600)
    kept = table.model_copy(update={"path": copy})
    write_atomically(folder / f"{contract.name}.json", kept.model_dump_json(indent=2).encode())
    return kept


def decided(settings: Settings) -> list[RawTable]:
    """Every table that was decided on, one a contract."""
    folder = settings.state_path / "data"
    return [RawTable.model_validate_json(p.read_bytes()) for p in sorted(folder.glob("*.json"))]


def obtain(settings: Settings, contract: Contract) -> RawTable:
    """Finds the raw table: `DATA_FILE`, else the public file, else the synthetic sample.

    The public file is fetched once and kept in the state folder.

    Raises:
        SettingsError: `DATA_FILE` is not there, or there is no table to be had at all.
    """
    key = contract.data.key
    if settings.data_file is not None:
        path = ROOT / settings.data_file
        if not path.is_file():
            raise SettingsError(f"DATA_FILE={settings.data_file}: there is no such file")
        return RawTable(path=path, key=key, origin=str(settings.data_file), synthetic=False)
    public = contract.data.public
    if public is not None:
        try:
            path = _fetch(public, contract, settings.state_path / "data" / "public")
            return RawTable(path=path, key=key, origin=public.title, synthetic=False)
        except (requests.RequestException, OSError, DataError, ValueError) as error:
            log.warning("the public data can not be used: %s", error)
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
