"""State of a release as an archive that names no machine and no folder."""

import os
import re
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

_ROOT_MARK = "@PROJECT_ROOT@"
"""Stands in the archive where the state names the folder of its project."""

_STATE = ".embedded"
_TEXTS = {".json", ".jsonl"}

# Made anew by every start, of this machine alone, a secret (feedback_token), or only large.
_LEFT_OUT = re.compile(
    r"/(logs|run|prometheus|alertmanager|nginx|feedback_token|metrics|serving|simulation|heartbeat[^/]*)$"
    r"|/prefect/(storage|profiles\.toml)$|-shm$|/plots/[^/]+\.png$"
)
_SCRIPT = re.compile(rb"(<script[^>]*>).*?(</script>)", re.DOTALL)


def pack(project: Path, archive: Path) -> None:
    """Pack the state of a project whose services are gone; changes it."""
    _replace_text(project / _STATE, str(project), _ROOT_MARK)
    for path in _databases(project / _STATE):
        with closing(sqlite3.connect(path)) as database:
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for page in (project / _STATE / "reports").glob("*.html"):
        # Of four megabytes nearly all is Plotly, and a report that is there is only served.
        page.write_bytes(_SCRIPT.sub(rb"\1\2", page.read_bytes()))

    def neutral(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if _LEFT_OUT.search(f"/{member.name}"):
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        # Spools carry the name of their host, and nobody reads it from there.
        member.name = member.name.replace(f"-{os.uname().nodename}-", "-recorded-")
        return member

    with tarfile.open(archive, "w:gz") as tar:
        for name in (".env", _STATE):
            tar.add(project / name, name, filter=neutral)


def unpack(archive: Path, project: Path) -> None:
    """Unpack recorded state into a project that has none."""
    with tarfile.open(archive) as tar:
        tar.extractall(project, filter="data")
    _replace_text(project / _STATE, _ROOT_MARK, str(project))


def _replace_text(folder: Path, old: str, new: str) -> None:
    """Replace a text in all JSON files and SQLite databases of a folder."""
    for path in folder.rglob("*"):
        if path.suffix in _TEXTS and path.is_file():
            content = path.read_bytes()
            if old.encode() in content:
                path.write_bytes(content.replace(old.encode(), new.encode()))
    for path in _databases(folder):
        _replace_in_database(path, old, new)


def _databases(folder: Path) -> list[Path]:
    """List the databases of MLflow and Prefect; spools stay as the crash left them."""
    return [path for path in folder.rglob("*.db") if path.read_bytes()[:6] == b"SQLite"]


def _replace_in_database(path: Path, old: str, new: str) -> None:
    # Every text column: so this does not depend on the schema of MLflow or Prefect.
    with closing(sqlite3.connect(path)) as database, database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for column in database.execute(f'PRAGMA table_info("{table}")').fetchall():
                name = column[1]
                database.execute(
                    f'UPDATE "{table}" SET "{name}" = replace("{name}", ?, ?) '  # noqa: S608 - the database's own names
                    f"""WHERE typeof("{name}") = 'text' AND instr("{name}", ?)""",
                    (old, new, old),
                )
