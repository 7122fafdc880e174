# ruff: noqa: INP001 - a script beside what it installs, no package
"""Installs a lock into a virtual environment, and nothing else.

Usage: .venv/bin/python requirements/install.py LOCK [PYTHON]

PYTHON is that of the virtual environment; without it, it is the one that runs this.

uv does it in a tenth of pip's time. It does not read pip's configuration, so a mirror or
proxy set up for pip is handed on; and where uv cannot work, pip does.
"""

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
_UV = [sys.executable, "-m", "uv", "pip", "sync", "--quiet"]
_PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
_INSTALL = ["install", "--quiet", "--require-hashes", "-r"]


def pip_configuration(listing: str) -> dict[str, str]:
    """Reads `pip config list`.

    Args:
        listing: Lines such as `global.index-url='https://...'`; from the environment they
            begin with `:env:.`.

    Returns:
        Values by bare name; what pip itself would let win has won.
    """
    found: dict[str, str] = {}
    for origin in ("global.", "install.", ":env:."):
        for line in listing.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(origin):
                found[name.removeprefix(origin)] = str(ast.literal_eval(value))
    return found


def uv_environment(pip: dict[str, str]) -> dict[str, str]:
    """What uv must be told to fetch from where pip does."""
    told = {
        "UV_DEFAULT_INDEX": pip.get("index-url"),
        "UV_INDEX": pip.get("extra-index-url"),
        "UV_FIND_LINKS": pip.get("find-links"),
        "UV_INSECURE_HOST": pip.get("trusted-host"),
        "SSL_CERT_FILE": pip.get("cert"),
        # As pip does it: any index may have the file; its hash is what makes it right.
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    return {
        name: " ".join(value.split())
        for name, value in told.items()
        if value and name not in os.environ
    }


def main(lock: Path, python: str = sys.executable) -> None:
    """Installs the lock, and says how long it took.

    Args:
        lock: Requirements with hashes.
        python: Of the virtual environment.

    Raises:
        SystemExit: neither uv nor pip could; their own words stand above.
    """
    began = time.monotonic()
    _say(f"installing {lock.name} into {Path(python).parents[1]} (a few minutes the first time)")
    uv = subprocess.run([*_PIP, *_INSTALL, str(HERE / "uv.txt")], check=False)
    listing = subprocess.run([*_PIP, "config", "list"], check=True, capture_output=True, text=True)
    # The bytecode is made once here, and not by each service on its first way up.
    synced = uv.returncode == 0 and subprocess.run(
        [*_UV, "--python", python, "--require-hashes", "--compile-bytecode", str(lock)],
        env={**os.environ, **uv_environment(pip_configuration(listing.stdout))},
        check=False,
    )
    if not synced or synced.returncode:
        _say("uv could not install it; trying with pip, which takes longer")
        piped = subprocess.run([*_PIP, "--python", python, *_INSTALL, str(lock)], check=False)
        if piped.returncode:
            sys.exit("The packages could not be installed: see above. Is there a network?")
    _say(f"installed after {time.monotonic() - began:.0f} s")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what the target shows


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:])
