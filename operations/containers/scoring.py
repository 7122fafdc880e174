"""Score a table of this machine in a container (`make score`)."""

import hashlib
import os
import shutil
import tarfile
from pathlib import Path

from mlstack.settings import Settings
from operations.containers.job import SCORING, open_table, prepare
from operations.errors import StackError


def score_in_container(environment: str, settings: Settings, table: Path, out: Path) -> None:
    """Send a table to a container, which scores it, and write scores and rejected rows.

    Raises StackError if `out` exists, or the container fails; a second call continues.
    """
    if out.exists():
        raise StackError(f"OUT={out} exists: remove it, or choose another name")
    with os.fdopen(open_table(table, "DATA"), "rb") as content:
        name = hashlib.file_digest(content, "sha256").hexdigest()
        content.seek(0)
        results = out.with_name(f"{out.name}.part")
        compose, words = prepare(environment, settings, SCORING, [name, out.suffix])
        try:
            with results.open("wb") as file:
                done = compose.call(*words, stdin=content, stdout=file)
            if done.returncode:
                raise StackError("the table is not scored: see above. Started again, it goes on")
            _take(results, out)
        finally:
            results.unlink(missing_ok=True)


def _take(results: Path, out: Path) -> None:
    with tarfile.open(results) as archive:
        for member in archive:
            rejected = member.name.endswith(".rejected.csv")
            target = out.with_name(f"{out.stem}.rejected.csv") if rejected else out
            if content := archive.extractfile(member):
                fresh = target.with_name(f"{target.name}.new")
                with fresh.open("wb") as file:
                    shutil.copyfileobj(content, file)
                fresh.replace(target)
