"""The backup format: an archive whose last member is a manifest with checksums."""

import gzip
import hashlib
import os
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from datetime import datetime
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mlstack.errors import MlstackError
from mlstack.files import sync_tree

_MANIFEST = "manifest.json"
_FAST = 1
_CHUNK = 1024 * 1024
_READABLE_BY_OWNER = 0o600


class BackupError(MlstackError):
    """A backup cannot be made, is incomplete, or cannot be restored here."""


class Manifest(BaseModel):
    """Describes a backup.

    Args:
        format: Version of the format.
        began_at: Data that arrived later may be missing.
        mlflow_version: The MLflow version that created the tables.
        artifacts_elsewhere: Where MLflow stores artifacts that are not in the backup.
        database_elsewhere: Database server that has MLflow's data, which is not in the backup.
        tables_elsewhere: Where the feature store keeps tables that are not in the backup.
        counts: Number of items by kind.
        sha256: Checksum of each member; the archive fills it in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    began_at: datetime
    mlflow_version: str
    artifacts_elsewhere: str | None = None
    database_elsewhere: str | None = None
    tables_elsewhere: str | None = None
    counts: Mapping[str, int]
    sha256: Mapping[str, str] = {}

    def __str__(self) -> str:
        listed = ", ".join(f"{count:,} {what}" for what, count in self.counts.items())
        return f"of {self.began_at:%Y-%m-%d %H:%M:%S} UTC: {listed}"


class ArchiveWriter:
    """Writes a backup to a stream, seekable or not; its context completes the file."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._packed = gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=_FAST)
        self._tar = tarfile.open(fileobj=self._packed, mode="w|")  # noqa: SIM115 - closed in exit
        self._sha256: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A failed backup stays unterminated, so that it cannot pass for a complete one.
        if kind is None:
            self._tar.close()
            self._packed.close()

    def add(self, name: str, content: bytes) -> None:
        """Add a member."""
        self._add(name, BytesIO(content), len(content))

    def add_file(self, name: str, path: Path) -> None:
        """Add a file as a member; raise OSError if it cannot be read or shrinks."""
        with path.open("rb") as file:
            self._add(name, file, os.fstat(file.fileno()).st_size)

    def finish(self, manifest: Manifest) -> Manifest:
        """Add the manifest, completed by the checksums, as the last member; return it."""
        complete = manifest.model_copy(update={"sha256": dict(self._sha256)})
        self.add(_MANIFEST, complete.model_dump_json(indent=2).encode())
        return complete

    def _add(self, name: str, content: IO[bytes], size: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, _READABLE_BY_OWNER
        reader = _Reader(content)
        self._tar.addfile(member, reader)
        self._sha256[name] = reader.sha256.hexdigest()


class _Reader:
    """Reads a stream and computes its checksum."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content, self.sha256 = content, hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self._content.read(size)
        self.sha256.update(data)
        return data


def unpack(stream: IO[bytes], folder: Path) -> Manifest:
    """Unpack a backup into a new folder, verify it and sync it to disk.

    Raises BackupError if the stream is not a complete, unchanged backup.
    """
    folder.mkdir(mode=0o700, parents=True)
    sha256: dict[str, str] = {}
    try:
        with (
            gzip.GzipFile(fileobj=stream) as packed,
            tarfile.open(fileobj=packed, mode="r|") as tar,
        ):
            for member in tar:
                path = folder / member.name
                if not member.isfile() or not path.resolve().is_relative_to(folder.resolve()):
                    raise BackupError(f"the backup contains an unexpected member {member.name!r}")
                path.parent.mkdir(parents=True, exist_ok=True)
                reader = _Reader(tar.extractfile(member) or BytesIO())
                with path.open("xb") as file:
                    shutil.copyfileobj(reader, file, _CHUNK)
                sha256[member.name] = reader.sha256.hexdigest()
            while packed.read(_CHUNK):
                pass  # read to the end, where gzip verifies its checksum
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BackupError(f"the file is not a backup, or is incomplete: {error}") from error
    if sha256.pop(_MANIFEST, None) is None:
        raise BackupError("the backup is incomplete: its last member, the manifest, is missing")
    try:
        manifest = Manifest.model_validate_json((folder / _MANIFEST).read_bytes())
    except ValidationError as error:
        raise BackupError(f"the backup has another format version: {error}") from error
    if changed := {name for name, _ in sha256.items() ^ manifest.sha256.items()}:
        raise BackupError(
            f"the backup is damaged; missing or changed members: {', '.join(sorted(changed))}"
        )
    sync_tree(folder)
    return manifest
