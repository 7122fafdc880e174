"""Install locks into a virtual environment, and nothing else.

Usage: .venv/bin/python -m operations.install.packages [--python PYTHON] LOCK...

PYTHON is that of the virtual environment, by default the one running this script. uv takes a tenth
of pip's time. It does not read pip's configuration, so this module translates it. If uv fails, pip
installs the lock. Of the caller's variables and of pip's files, only those that say where packages
come from have an effect.
"""

import argparse
import ast
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mlstack.caller_environment import inherit

_UV_LOCK = Path(__file__).resolve().parents[2] / "requirements" / "uv.txt"
_PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
# Where packages come from, and how to get there: pip's options that it and uv should follow. All
# others, such as `target` and `user`, would put packages elsewhere or nowhere.
_OPTIONS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "",
    "default-timeout": "",
    "retries": "",
    "keyring-provider": "",
    "cache-dir": "",
    "no-cache-dir": "",
}
_PIP_VARIABLES = {option: f"PIP_{option.upper().replace('-', '_')}" for option in _OPTIONS}
_UV_VARIABLES = (
    *(name for name in _OPTIONS.values() if name.startswith("UV_")),
    *("UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_KEYRING_PROVIDER", "UV_NATIVE_TLS"),
    *("UV_SYSTEM_CERTS", "UV_CACHE_DIR", "UV_NO_CACHE", "UV_LINK_MODE", "UV_CONCURRENT_DOWNLOADS"),
)


def installer_environment(
    caller: Mapping[str, str], read_configuration: Callable[[dict[str, str]], str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the environment for pip and uv, and a sentence for each variable that is ignored.

    `read_configuration` runs `pip config list`, whose lines look like
    `global.index-url='https://...'`, in an environment.
    """
    pip_variables = _PIP_VARIABLES.values()
    inherited = inherit(caller, (*pip_variables, "PIP_CONFIG_FILE", *_UV_VARIABLES))
    options = _configured_options(read_configuration(inherited.variables))
    if "find-links" not in options:
        # Alone it leaves nowhere to get packages from.
        options.pop("no-index", None)
    environment = {name: v for name, v in inherited.variables.items() if name not in pip_variables}
    for option, value in options.items():
        environment[_PIP_VARIABLES[option]] = value
        if name := _OPTIONS[option]:
            environment.setdefault(name, value)
    # The files have been read; as in pip, any index may provide a package, which its hash verifies.
    environment |= {"PIP_CONFIG_FILE": os.devnull, "UV_INDEX_STRATEGY": "unsafe-best-match"}
    return environment, inherited.ignored


def _configured_options(configuration: str) -> dict[str, str]:
    found = {}
    for origin in ("global.", "install.", ":env:."):  # later ones override earlier ones
        for line in configuration.splitlines():
            key, _, value = line.partition("=")
            option = key.removeprefix(origin)
            if key.startswith(origin) and option in _OPTIONS:
                found[option] = " ".join(ast.literal_eval(value).split())
    return {option: value for option, value in found.items() if value}


def _read_configuration(environment: dict[str, str]) -> str:
    command = [*_PIP, "config", "list"]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout


def _pip_installs(
    environment: dict[str, str], locks: Sequence[Path], python: str = sys.executable
) -> bool:
    command = [*_PIP, "--python", python, "install", "--quiet", "--require-hashes"]
    command += [word for lock in locks for word in ("-r", str(lock))]
    return subprocess.run(command, env=environment, check=False).returncode == 0


def _uv_installs(environment: dict[str, str], locks: Sequence[Path], python: str) -> bool:
    if not _pip_installs(environment, [_UV_LOCK]):
        return False
    # Compile once here instead of at the first start of each service.
    command = ["-m", "uv", "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode"]
    # It reads this option from nowhere else.
    command += ["--no-index"] if "PIP_NO_INDEX" in environment else []
    done = subprocess.run(
        [sys.executable, *command, "--python", python, *map(str, locks)],
        env=environment,
        check=False,
    )
    return done.returncode == 0


def _installs(environment: dict[str, str], locks: Sequence[Path], python: str) -> bool:
    if _uv_installs(environment, locks, python):
        return True
    _say("uv could not install it; trying with pip, which takes longer")
    return _pip_installs(environment, locks, python)


def main(locks: Sequence[Path], python: str = sys.executable) -> None:
    """Install locks and print how long it took; exit if uv and pip both fail."""
    began = time.monotonic()
    environment, ignored = installer_environment(os.environ, _read_configuration)
    for sentence in ignored:
        _say(sentence)
    names = " and ".join(lock.name for lock in locks)
    _say(f"installing {names} into {Path(python).parents[1]} (a few minutes the first time)")
    installed = _installs(environment, locks, python)
    if not installed and environment.pop("PIP_NO_INDEX", ""):
        _say("PIP_NO_INDEX is ignored: PIP_FIND_LINKS has not every package; trying with an index")
        installed = _installs(environment, locks, python)
    if not installed:
        sys.exit("The packages could not be installed: see above. Is the network up?")
    _say(f"installed after {time.monotonic() - began:.0f} s")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the output of a script


if __name__ == "__main__":
    parser = argparse.ArgumentParser("operations.install.packages")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("locks", type=Path, nargs="+")
    given = parser.parse_args()
    main(given.locks, given.python)
