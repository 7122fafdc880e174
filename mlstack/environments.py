"""The environments' files: `.env.<name>` is edited by people, `.env` is in force.

`.env` is the chosen environment's file with what was given to make when it was set up. Our
own settings are taken from the process environment first, so `make train TRAIN_TRIALS=5`
wins; everything else (`MLFLOW_TRACKING_URI`, `PREFECT_API_URL`) from the file first, and
`AWS_*` from the file alone, so that a developer's own AWS account is never reached from the
emulated environment.
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
# Names of the settings in `.env` that were given to make, so that every other one follows
# its environment's file when people edit that.
_GIVEN_VARIABLE = "MLSTACK_GIVEN"

# What reads the same with quotes and without.
_BARE = re.compile(r"[\w./:@%+,=-]*", re.ASCII)

OWN_VARIABLES = frozenset(name.upper() for name in Settings.model_fields)
# A choice of model is made once per deploy: keeping it would redeploy it at every start.
_KEPT_VARIABLES = OWN_VARIABLES - {"RUN_ID", "DEPLOYED_BY"}


def active_name() -> str | None:
    """Name of the environment that was last set up; None: none is."""
    return _raw_values(ACTIVE_FILE).get(NAME_VARIABLE) if ACTIVE_FILE.exists() else None


def load(name: str) -> Settings:
    """Brings an environment into the process environment.

    Args:
        name: One of `NAMES`.

    Returns:
        The settings that are now in force.

    Raises:
        SettingsError: there is no such environment in this version, or a setting is bad.
    """
    return _bring_in(name, _kept(name))


def set_up(name: str) -> Settings:
    """Makes an environment the active one: as `load`, and writes `.env`.

    Our own settings that the process environment gives with another value than the file
    are kept in `.env` until the environment is reset, all but `RUN_ID` and `DEPLOYED_BY`.
    """
    taken = _kept(name) | _given()
    file = _of_file(name, taken)
    kept = {
        key: taken[key] for key in _KEPT_VARIABLES & taken.keys() if taken[key] != file.get(key, "")
    }
    settings = _bring_in(name, kept)
    text = _path(name).read_text()
    for key, value in sorted(kept.items()):
        line = f"{key}={_quoted(value)}"
        text, found = re.subn(rf"(?m)^{key}=.*$", lambda _, line=line: line, text)  # type: ignore[misc]
        text += "" if found else f"{line}\n"
    head = f"# Written by make from .env.{name}: edit that one, not this one.\n"
    given = f"{NAME_VARIABLE}={name}\n{_GIVEN_VARIABLE}={','.join(sorted(kept))}\n"
    # Whoever has MongoDB elsewhere may have its password in here.
    write_atomically(ACTIVE_FILE, f"{head}{given}{text}".encode(), mode=0o600)
    return settings


def variables(name: str) -> dict[str, str]:
    """What a loaded environment consists of, for processes that must inherit nothing else."""
    names = _raw_values(_path(name)).keys() | OWN_VARIABLES | {NAME_VARIABLE}
    return {key: os.environ[key] for key in sorted(names & os.environ.keys())}


def forget() -> None:
    """Removes `.env`: no environment is set up any more."""
    ACTIVE_FILE.unlink(missing_ok=True)


def _path(name: str) -> Path:
    path = ROOT / f".env.{name}"
    if name not in NAMES or not path.exists():
        there = ", ".join(n for n in NAMES if (ROOT / f".env.{n}").exists())
        raise SettingsError(f"env={name}: no such environment; there is env={there}")
    return path


def _raw_values(path: Path) -> dict[str, str]:
    return {key: value or "" for key, value in dotenv_values(path, interpolate=False).items()}


def _kept(name: str) -> dict[str, str]:
    """What was given when the environment was set up."""
    if active_name() != name:
        return {}
    active = _raw_values(ACTIVE_FILE)
    given = set(active.get(_GIVEN_VARIABLE, "").split(","))
    return {key: active[key] for key in sorted(_KEPT_VARIABLES & given & active.keys())}


def _bring_in(name: str, kept: dict[str, str]) -> Settings:
    taken = kept | _given()
    file = _of_file(name, taken)
    for key in os.environ.keys() - OWN_VARIABLES:
        if key.startswith("AWS_"):
            del os.environ[key]
    os.environ.update(file | taken | {NAME_VARIABLE: name})
    return Settings.load()


def _given() -> dict[str, str]:
    return {key: os.environ[key] for key in OWN_VARIABLES & os.environ.keys()}


def _of_file(name: str, taken: dict[str, str]) -> dict[str, str]:
    """Values of an environment's file, which may name each other and what was given."""
    file = _raw_values(_path(name))
    named = file | taken | {NAME_VARIABLE: name, "PROJECT_ROOT": str(ROOT)}
    try:
        return {key: Template(value).substitute(named) for key, value in file.items()}
    except KeyError as error:
        raise SettingsError(f".env.{name}: a value names the unknown variable {error}") from error
    except ValueError as error:
        reason = "a value has a $ that begins no ${NAME}: write $$"
        raise SettingsError(f".env.{name}: {reason} ({error})") from error


def _quoted(value: str) -> str:
    """A value as it is read back: what single quotes hold, Docker Compose does not expand."""
    if _BARE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
