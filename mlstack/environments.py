"""Load environments. You edit `.env.<name>`; `.env` is the active one.

`.env` names the chosen environment and has the settings that were passed to make at set-up; where
Docker Compose reads it, it is a copy of the environment's file with these. The process environment
comes first, so that `make train TRAIN_TRIALS=5` takes precedence; what a shell exports is no longer
in it, see `mlstack.with_environment`. `AWS_*` come only from the file: the emulated environment
must never reach a developer's own AWS account.
"""

import os
from pathlib import Path
from string import Template

from mlstack.caller_environment import name_of, user_name
from mlstack.env_file import EnvFile, assignments
from mlstack.errors import InvalidSettings, SettingsError
from mlstack.files import write_atomically
from mlstack.settings import DEFAULT_TRAIN_ENGINE, ROOT, Settings, plain_text

NAMES = ("embedded", "local", "cloud")
ACTIVE_FILE = ROOT / ".env"
NAME_VARIABLE = "MLSTACK_ENV"
# Folders that only the user who runs make may enter.
_STATE = (".embedded", ".secrets")
# Names the settings in `.env` that were passed to make; the others come from the environment's
# file.
_GIVEN_VARIABLE = "MLSTACK_GIVEN"

_COMPOSE_FILE = "COMPOSE_FILE"
_MORE_FILES = {
    "API_SERVERS": ("1", "docker-compose-servers.yml"),
    "STREAM_SERVERS": ("1", "docker-compose-stream-servers.yml"),
    "DEPLOYMENT_RECORD": ("", "docker-compose-members.yml"),
    "TRAIN_ENGINE": (DEFAULT_TRAIN_ENGINE, "docker-compose-dask.yml"),
}
"""Compose file to add when a setting is neither empty nor this default."""

OWN_VARIABLES = frozenset(name.upper() for name in Settings.model_fields)
# RUN_ID is not kept: it would be deployed again at every start.
_NOT_KEPT = frozenset({"RUN_ID", "DEPLOYED_BY"})


def active_name() -> str | None:
    """Return the active environment's name, or None."""
    return _read(ACTIVE_FILE).get(NAME_VARIABLE) if ACTIVE_FILE.exists() else None


def load(name: str) -> Settings:
    """Load an environment (one of `NAMES`) into the process environment.

    Raises SettingsError if it does not exist or a setting is invalid.
    """
    return _load(name, _kept(name))


def set_up(name: str) -> Settings:
    """Load an environment as `load` does, and make it active by writing `.env`.

    Settings in the process environment that differ from the file stay in `.env` until the
    environment is reset, except `RUN_ID` and `DEPLOYED_BY`.
    """
    given = _kept(name) | _given(name)
    file = _expanded(name, given)
    kept = {key: given[key] for key in given.keys() - _NOT_KEPT if given[key] != file.get(key, "")}
    settings = _load(name, kept)
    # Only Compose needs the other settings; Prefect would parse them hundreds of times per process.
    if _COMPOSE_FILE in file:
        text = EnvFile(_path(name)).rewritten(kept | _compose_files(file | kept))
    else:
        text = assignments(kept)
    head = f"# Written by make from .env.{name}: edit that file, not this one.\n"
    marks = f"{NAME_VARIABLE}={name}\n{_GIVEN_VARIABLE}={','.join(sorted(kept))}\n"
    # MONGO_URI may contain a password.
    write_atomically(ACTIVE_FILE, f"{head}{marks}{text}".encode(), mode=0o600)
    return settings


def variables(name: str) -> dict[str, str]:
    """Return the variables of a loaded environment.

    Pass them to processes that must not inherit any others.
    """
    names = _read(_path(name)).keys() | OWN_VARIABLES | {NAME_VARIABLE}
    return {key: os.environ[key] for key in sorted(names & os.environ.keys())}


def may_be_given(name: str) -> bool:
    """Return whether make's command line may set a variable: not those of an own AWS account."""
    return name in OWN_VARIABLES or not name.startswith("AWS_")


def require_access() -> None:
    """Raise SettingsError if another user has set up this project, as make does under sudo."""
    needed = os.R_OK | os.W_OK
    for path in (ACTIVE_FILE, *(ROOT / name for name in _STATE)):
        if path.exists() and not os.access(path, needed | (os.X_OK if path.is_dir() else 0)):
            owner, me = name_of(path.stat().st_uid), user_name()
            raise SettingsError(
                f"{path} belongs to {owner}, and you are {me}: run make as {owner}, or make the "
                f"files yours: sudo chown -R {me} {' '.join((ACTIVE_FILE.name, *_STATE))}"
            )


def forget() -> None:
    """Remove `.env`, so that no environment is active."""
    ACTIVE_FILE.unlink(missing_ok=True)


def _path(name: str) -> Path:
    path = ROOT / f".env.{name}"
    if name not in NAMES or not path.exists():
        existing = ", ".join(n for n in NAMES if (ROOT / f".env.{n}").exists())
        raise SettingsError(f"env={name}: no such environment; choose env={existing}")
    return path


def _read(path: Path) -> dict[str, str]:
    file = EnvFile(path, last_counts=path == ACTIVE_FILE)
    for key, line in file.lines.items():
        if key.upper() in OWN_VARIABLES - {key}:
            raise SettingsError(f"{path.name}, line {line}: write {key.upper()} instead of {key}")
    return {key: plain_text(key, value) for key, value in file.values.items()}


def _kept(name: str) -> dict[str, str]:
    """Return the settings that were passed to make at set-up."""
    if active_name() != name:
        return {}
    active = _read(ACTIVE_FILE)
    given = set(active.get(_GIVEN_VARIABLE, "").split(",")) - _NOT_KEPT
    return {key: active[key] for key in sorted(_settings(name) & given & active.keys())}


def _given(name: str) -> dict[str, str]:
    """Return the settings in the process environment."""
    return {key: plain_text(key, os.environ[key]) for key in _settings(name) & os.environ.keys()}


def _settings(name: str) -> frozenset[str]:
    """Return the names of all settings: ours, and others in the file except `AWS_*`."""
    return OWN_VARIABLES | set(filter(may_be_given, _read(_path(name))))


def _load(name: str, kept: dict[str, str]) -> Settings:
    given = kept | _given(name)
    values = _expanded(name, given) | given
    os.environ.update(values | _compose_files(values) | {NAME_VARIABLE: name})
    try:
        return Settings.load()
    except InvalidSettings as error:
        lines = EnvFile(_path(name)).lines
        faults = []
        for key, fault in error.faults.items():
            is_of_file = key in lines and key not in given
            faults.append(f".env.{name}, line {lines[key]}: {fault}" if is_of_file else fault)
        raise SettingsError("; ".join(faults)) from error


def _compose_files(values: dict[str, str]) -> dict[str, str]:
    """Return the variable that names the compose files, if there is one."""
    files = values.get(_COMPOSE_FILE, "").split(":")
    for setting, (default, file) in _MORE_FILES.items():
        if values.get(setting, "") not in {"", default} and file not in files:
            files.append(file)
    return {_COMPOSE_FILE: ":".join(files)} if files[0] else {}


def _expanded(name: str, given: dict[str, str]) -> dict[str, str]:
    """Return the values of an environment's file, with references expanded.

    They may refer to each other and to the settings in `given`.
    """
    file = _read(_path(name))
    known = file | given | {NAME_VARIABLE: name, "PROJECT_ROOT": str(ROOT)}
    try:
        return {key: Template(value).substitute(known) for key, value in file.items()}
    except KeyError as error:
        raise SettingsError(f".env.{name}: unknown variable {error} in a value") from error
    except ValueError as error:
        raise SettingsError(
            f".env.{name}: a $ in a value does not start a ${{NAME}}: "
            f"write $$ for a dollar sign ({error})"
        ) from error
