"""The peers' virtual environments, installed from `requirements/peers/`."""

import subprocess
import sys
from pathlib import Path

from mlstack.files import file_sha256
from mlstack.settings import ROOT

FOLDER = ROOT / ".bench-peers"
"""Everything that the suite leaves on the disk."""

_LOCKS = ROOT / "requirements" / "peers"


def bin_folder(lock: str | None) -> Path:
    """Return the folder with the commands of an environment; None is the project's own."""
    return Path(sys.executable).parent if lock is None else FOLDER / lock / "bin"


def ensure_environment(name: str) -> str | None:
    """Create the environment of a lock unless it exists; return the reason if that fails."""
    lock, folder = _LOCKS / f"{name}.txt", FOLDER / name
    stamp, digest = folder / "installed", file_sha256(lock)
    if stamp.exists() and stamp.read_text() == digest:
        return None
    python = folder / "bin" / "python"
    for command in (
        ["venv", "--clear", str(folder)],
        ["operations.install.packages", "--python", str(python), str(lock)],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            print(done.stdout, flush=True)
            return _reason(done.stdout)
    stamp.write_text(digest)
    return None


def _reason(output: str) -> str:
    """Return the line that says most: pip's error, else the last one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["no output"])[-1][:200]
