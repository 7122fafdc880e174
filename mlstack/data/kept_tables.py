"""Keep tables by digest: the exact bytes that runs were trained on.

They are in the feature store and in the state folder, whose copy restores what an emulator has
lost. A run's tags name digest and key.
"""

import hashlib
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from mlstack.data.feature_store import FeatureStore
from mlstack.data.table_files import FORMATS, table_format
from mlstack.files import write_atomically
from mlstack.settings import Settings

FOLDER = "tables"
"""Folder of the tables, in the bucket and in the state folder's `data`."""

NEW = timedelta(days=1)
"""Age up to which a table is kept without a run that names it: a training may be about to."""

_NAME = re.compile(rf"([0-9a-f]{{64}})\.({'|'.join(re.escape(f.suffix) for f in FORMATS)})")


def table_key(content: bytes) -> str:
    """Return the key under which the feature store keeps a table by its digest."""
    digest = hashlib.sha256(content).hexdigest()
    return f"{FOLDER}/{digest}.{table_format(content).suffix}"


def digest_of(name: str) -> str | None:
    """Return the digest in the name of a kept table; None if the name is of something else."""
    found = _NAME.fullmatch(name)
    return found and found[1]


class KeptTables:
    """The copies in a state folder."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.state_path / "data" / FOLDER

    def save(self, content: bytes) -> Path:
        """Save a table here; return its path."""
        path = self.folder.parent / table_key(content)
        if path.exists():
            path.touch()  # see `NEW`
        else:
            # The user's table may be private.
            write_atomically(path, content, mode=0o600)
        return path

    def keep(self, content: bytes, store: FeatureStore) -> str:
        """Save a table here and in the feature store; return its key there.

        Raises FeatureStoreError if S3 cannot be reached or rejects a request.
        """
        path = self.save(content)
        key = f"{FOLDER}/{path.name}"
        store.add(key, path)
        return key

    def paths(self) -> list[Path]:
        """List the tables here."""
        return sorted(path for path in self.folder.glob("*") if digest_of(path.name))

    def restore(self, store: FeatureStore, say: Callable[[str], None]) -> None:
        """Upload every table that the feature store has lost.

        Raises FeatureStoreError if S3 cannot be reached or rejects a request.
        """
        paths = self.paths()
        present = store.objects(f"{FOLDER}/") if paths else {}
        for path in paths:
            key = f"{FOLDER}/{path.name}"
            if key not in present and store.add(key, path):
                say(f"restored {store.address(key)}")

    def remove_unneeded(
        self, store: FeatureStore, now: datetime, is_needed: Callable[[str], bool]
    ) -> tuple[int, int]:
        """Remove tables that are not needed, here and in the feature store, unless they are new.

        Returns:
            Number of tables, and bytes freed here.
        """
        before = (now - NEW).timestamp()
        copies = {path.name: path for path in self.paths()}
        stored = {key.removeprefix(f"{FOLDER}/"): at for key, at in store.objects(FOLDER).items()}
        count = freed = 0
        for name in sorted({*copies, *filter(digest_of, stored)}):
            path = copies.get(name)
            at = path.stat().st_mtime if path else stored[name].timestamp()
            if at > before or is_needed(digest_of(name) or ""):
                continue
            # First the copy, from which the store would get the table again.
            if path:
                freed += path.stat().st_size
                path.unlink()
            store.remove(f"{FOLDER}/{name}")
            count += 1
        return count, freed
