"""Recognise and unpack the files that tables come in, and pack a folder as one file.

A folder of Parquet files becomes an archive, so that each table is one content with one digest.
"""

import gzip
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from mlstack.errors import DataError, DataFault

GZIP = b"\x1f\x8b"
PARQUET_SUFFIX = ".parquet"
PARQUET = b"PAR1"
_TAR, _TAR_AT = b"ustar", 257
_LARGEST = 2 * 1024**3
_HARMLESS = 64 * 1024**2
_MOST_REPETITIVE = 500
"""Tables shrink to a tenth or a fiftieth; a gzip bomb shrinks to a thousandth."""
_PIECE = 1024 * 1024
_READABLE_BY_OWNER = 0o600


class NoParquetFiles(DataError):
    """A folder is no table."""

    def __init__(self) -> None:
        super().__init__(DataFault("the folder has no Parquet files (*.parquet)"))


@dataclass(frozen=True, slots=True)
class TableFormat:
    """How a table is stored."""

    suffix: str
    content_type: str


_CSV = TableFormat("csv", "text/csv")
_TSV = TableFormat("tsv", "text/tab-separated-values")
_PACKED = TableFormat("gz", "application/gzip")
_ONE_PARQUET = TableFormat("parquet", "application/vnd.apache.parquet")
_SEVERAL_PARQUET = TableFormat("parquet.tar", "application/x-tar")
FORMATS = (_CSV, _TSV, _PACKED, _ONE_PARQUET, _SEVERAL_PARQUET)


def table_format(content: bytes) -> TableFormat:
    """Recognise the format of a content: CSV if it is none of the others."""
    if content.startswith(GZIP):
        return _PACKED
    if content.startswith(PARQUET):
        return _ONE_PARQUET
    if _is_archive(content):
        return _SEVERAL_PARQUET
    header = content[: content.find(b"\n") + 1]
    return _TSV if b"\t" in header and b"," not in header and b";" not in header else _CSV


def table_content(path: Path) -> bytes:
    """Read a table's file, or pack a folder's Parquet files.

    Raises DataError if a folder has none.
    """
    if path.is_dir():
        return pack({name: file.read_bytes() for name, file in parquet_paths(path).items()})
    return path.read_bytes()


def pack(files: Mapping[str, bytes]) -> bytes:
    """Pack Parquet files by name; the same files always give the same content.

    Raises DataError if there are none.
    """
    if not files:
        raise NoParquetFiles
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), _READABLE_BY_OWNER
            archive.addfile(member, BytesIO(content))
    return packed.getvalue()


def is_table_file(name: str) -> bool:
    """Return whether a folder's file belongs to its table; others are marks and checksums."""
    parts = Path(name).parts
    hidden = any(part.startswith((".", "_")) and "=" not in part for part in parts)
    return name.endswith(PARQUET_SUFFIX) and not hidden


def unpack(content: bytes) -> bytes:
    """Unpack a content that is compressed with gzip; return any other as it is.

    Raises DataError if it is damaged, or far larger than any table that can be read.
    """
    if not content.startswith(GZIP):
        return content
    pieces, size, file = [], 0, BytesIO(content)
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            while piece := packed.read(_PIECE):
                pieces.append(piece)
                size += len(piece)
                if size > min(_LARGEST, max(_HARMLESS, _MOST_REPETITIVE * file.tell())):
                    raise DataError(DataFault(_too_large(len(content), size)))
    except (OSError, EOFError, zlib.error) as error:
        reason = f"the file is compressed with gzip and damaged or cut off: {error}"
        raise DataError(DataFault(reason)) from error
    return b"".join(pieces)


def parquet_files(content: bytes) -> dict[str, bytes]:
    """Return the Parquet files in a content, by name; empty if it is a text.

    Raises DataError if an archive is damaged.
    """
    if content.startswith(PARQUET):
        return {"": content}
    if not _is_archive(content):
        return {}
    try:
        with tarfile.open(fileobj=BytesIO(content)) as archive:
            opened = ((member.name, archive.extractfile(member)) for member in archive)
            found = {name: file.read() for name, file in opened if file and is_table_file(name)}
    except (tarfile.TarError, EOFError) as error:
        reason = f"the archive of Parquet files is damaged or cut off: {error}"
        raise DataError(DataFault(reason)) from error
    if not found:
        raise DataError(DataFault("the file is an archive without Parquet files: unpack it first"))
    return found


def parquet_paths(folder: Path) -> dict[str, Path]:
    """List the Parquet files in a folder, by name and in order."""
    files = (path for path in folder.rglob(f"*{PARQUET_SUFFIX}") if path.is_file())
    found = {str(file.relative_to(folder)): file for file in files}
    return {name: found[name] for name in sorted(found) if is_table_file(name)}


def _is_archive(content: bytes) -> bool:
    return content[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR


def _too_large(packed: int, size: int) -> str:
    return (
        f"the file has {packed:,} bytes, and unpacking it was stopped at {size:,}, which is too "
        "much for a table: is it the right file? If it is, unpack it, or save it as Parquet"
    )
