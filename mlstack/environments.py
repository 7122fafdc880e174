"""Environments: people edit `.env.<name>`; `.env` is in force.

`.env` is a copy of the chosen environment's file with the settings that were given to make
at set-up. This project's settings are taken from the process environment first, so that
`make train TRAIN_TRIALS=5` wins. Everything else (`MLFLOW_TRACKING_URI`, `PREFECT_API_URL`) is
taken from the file first, and `AWS_*` from the file alone: the emulated environment must never
reach a developer's own AWS account.
"""

import os
import re
from pathlib import Path
from string import Template

from dotenv import dotenv_values

from mlstack.errors import SettingsError
from mlstack.files import write_atomically
from mlstack.settings import ROOT, Settings

NAMES = ("embedded", "local", "cloud")
ACTIVE_FILE = ROOT / ".env"
NAME_VARIABLE = "MLSTACK_ENV"
# Lists the settings in `.env` that were given to make; all others follow the environment's file.
_GIVEN_VARIABLE = "MLSTACK_GIVEN"

# Values that read the same with and without quotes.
_BARE = re.compile(r"[\w./:@%+,=-]*", re.ASCII)

OWN_VARIABLES = frozenset(name.upper() for name in Settings.model_fields)
# A kept RUN_ID would be deployed again at every start.
_KEPT_VARIABLES = OWN_VARIABLES - {"RUN_ID", "DEPLOYED_BY"}


def active_name() -> str | None:
    """Return the environment that was last set up; None: none is."""
    return _read(ACTIVE_FILE).get(NAME_VARIABLE) if ACTIVE_FILE.exists() else None


def load(name: str) -> Settings:
    """Load an environment into the process environment.

    Args:
        name: One of `NAMES`.

    Returns:
        The settings in force.

    Raises:
        SettingsError: The environment does not exist, or a setting is invalid.
    """
    return _load(name, _kept(name))


def set_up(name: str) -> Settings:
    """Load an environment as `load` does, and make it the active one by writing `.env`.

    Settings in the process environment that differ from the file are kept in `.env` until the
    environment is reset, except `RUN_ID` and `DEPLOYED_BY`.
    """
    given = _kept(name) | _given()
    file = _expanded(name, given)
    kept = {
        key: given[key] for key in _KEPT_VARIABLES & given.keys() if given[key] != file.get(key, "")
    }
    settings = _load(name, kept)
    text = _path(name).read_text()
    for key, value in sorted(kept.items()):
        line = f"{key}={_quoted(value)}"
        text, found = re.subn(rf"(?m)^{key}=.*$", lambda _, line=line: line, text)  # type: ignore[misc]
        text += "" if found else f"{line}\n"
    head = f"# Written by make from .env.{name}: edit that file, not this one.\n"
    marks = f"{NAME_VARIABLE}={name}\n{_GIVEN_VARIABLE}={','.join(sorted(kept))}\n"
    # MONGO_URI may contain a password.
    write_atomically(ACTIVE_FILE, f"{head}{marks}{text}".encode(), mode=0o600)
    return settings


def variables(name: str) -> dict[str, str]:
    """Return a loaded environment's variables, for processes that must inherit no others."""
    names = _read(_path(name)).keys() | OWN_VARIABLES | {NAME_VARIABLE}
    return {key: os.environ[key] for key in sorted(names & os.environ.keys())}


def forget() -> None:
    """Remove `.env`: no environment is set up any more."""
    ACTIVE_FILE.unlink(missing_ok=True)


def _path(name: str) -> Path:
    path = ROOT / f".env.{name}"
    if name not in NAMES or not path.exists():
        existing = ", ".join(n for n in NAMES if (ROOT / f".env.{n}").exists())
        raise SettingsError(f"env={name}: no such environment; there is env={existing}")
    return path


def _read(path: Path) -> dict[str, str]:
    return {key: value or "" for key, value in dotenv_values(path, interpolate=False).items()}


def _kept(name: str) -> dict[str, str]:
    """Settings that were given when the environment was set up."""
    if active_name() != name:
        return {}
    active = _read(ACTIVE_FILE)
    given = set(active.get(_GIVEN_VARIABLE, "").split(","))
    return {key: active[key] for key in sorted(_KEPT_VARIABLES & given & active.keys())}


def _given() -> dict[str, str]:
    """Settings that are given now."""
    return {key: os.environ[key] for key in OWN_VARIABLES & os.environ.keys()}


def _load(name: str, kept: dict[str, str]) -> Settings:
    given = kept | _given()
    file = _expanded(name, given)
    for key in os.environ.keys() - OWN_VARIABLES:
        if key.startswith("AWS_"):
            del os.environ[key]
    os.environ.update(file | given | {NAME_VARIABLE: name})
    return Settings.load()


def _expanded(name: str, given: dict[str, str]) -> dict[str, str]:
    """Values of an environment's file, which may refer to each other and to given settings."""
    file = _read(_path(name))
    known = file | given | {NAME_VARIABLE: name, "PROJECT_ROOT": str(ROOT)}
    try:
        return {key: Template(value).substitute(known) for key, value in file.items()}
    except KeyError as error:
        raise SettingsError(f".env.{name}: unknown variable {error} in a value") from error
    except ValueError as error:
        raise SettingsError(
            f".env.{name}: a $ in a value begins no ${{NAME}}: write $$ for a dollar sign ({error})"
        ) from error


def _quoted(value: str) -> str:
    """Quote a value for `.env`; Docker Compose expands nothing within single quotes."""
    if _BARE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
