"""Install a lock into a virtual environment.

Usage: .venv/bin/python operations/install/packages.py LOCK [PYTHON]

PYTHON is that of the virtual environment, by default the one running this script. uv takes a tenth
of pip's time. It does not read pip's configuration, so this script translates it. If uv fails, pip
installs the lock.
"""

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

_UV_LOCK = Path(__file__).resolve().parents[2] / "requirements" / "uv.txt"
_PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
_UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}


def uv_environment(pip_configuration: str) -> dict[str, str]:
    """Translate `pip config list` into environment variables for uv.

    Lines look like `global.index-url='https://...'`. Variables that are already set are omitted.
    """
    # As in pip, any index may provide a file; the hash verifies it.
    found = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for origin in ("global.", "install.", ":env:."):  # later ones override earlier ones
        for line in pip_configuration.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(origin) and (name := _UV_VARIABLES.get(key.removeprefix(origin))):
                found[name] = " ".join(ast.literal_eval(value).split())
    return {name: value for name, value in found.items() if value and name not in os.environ}


def _pip_installs(lock: Path, python: str = sys.executable) -> bool:
    command = [*_PIP, "--python", python, "install", "--quiet", "--require-hashes", "-r", str(lock)]
    return subprocess.run(command, check=False).returncode == 0


def _uv_installs(lock: Path, python: str) -> bool:
    if not _pip_installs(_UV_LOCK):
        return False
    listing = subprocess.run([*_PIP, "config", "list"], check=True, capture_output=True, text=True)
    # Compile once here instead of at the first start of each service.
    command = ["-m", "uv", "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode"]
    done = subprocess.run(
        [sys.executable, *command, "--python", python, str(lock)],
        env={**os.environ, **uv_environment(listing.stdout)},
        check=False,
    )
    return done.returncode == 0


def main(lock: Path, python: str = sys.executable) -> None:
    """Install a lock and print how long it took; exit if uv and pip both fail."""
    began = time.monotonic()
    _say(f"installing {lock.name} into {Path(python).parents[1]} (a few minutes the first time)")
    if not _uv_installs(lock, python):
        _say("uv could not install it; trying with pip, which takes longer")
        if not _pip_installs(lock, python):
            sys.exit("The packages could not be installed: see above. Is the network up?")
    _say(f"installed after {time.monotonic() - began:.0f} s")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the output of a script


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
