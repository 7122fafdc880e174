"""Generate the containers' secrets on first use, in a folder that git ignores.

Containers get secrets as files (compose secrets), never as variables.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from mlstack.secret_files import draw, has_secret
from mlstack.settings import ROOT
from operations import dask_certificates
from operations.errors import StackError

FOLDER = ROOT / ".secrets"
NAMES = (
    "mongo_root_password",
    "mongo_password",
    "grafana_admin_password",
    "feedback_token",
)
ALERTMANAGER = "alertmanager.yml"
"""Alertmanager's configuration: it contains secrets, and make writes it before each start."""
_DASK = "dask"
_DIGITS = 16

REMEMBERED_BY = {"mongo_root_password": "mongo", "grafana_admin_password": "grafana"}
"""Secrets that a service reads only when its volume, of the same name, is new."""

CONTAINER_UID = 10001
"""User id of the containers when root runs make."""


def container_uid() -> int:
    """Return the user id of our containers: the caller's, but never root's."""
    return os.getuid() or CONTAINER_UID


def ensure(existing: Mapping[str, str]) -> list[str]:
    """Generate missing secrets and return their names.

    `existing` are the names of the volumes that exist, by their keys. Raises StackError if a volume
    knows only a secret that is lost, or if a secret belongs to another user, so that containers
    cannot read it.
    """
    if lost := find_lost(existing):
        raise StackError("\n".join(lost))
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    reader = CONTAINER_UID if os.getuid() == 0 else None
    drawn = [name for name in NAMES if draw(FOLDER / name, reader)]
    for name in NAMES:
        path = FOLDER / name
        owner = path.stat().st_uid
        if owner != container_uid():
            raise StackError(
                f"{path} belongs to user {owner}; the containers run as user {container_uid()} and "
                "cannot read it: run make as the user who set this up"
            )
        path.chmod(0o600)
    return drawn


def ensure_dask() -> bool:
    """Generate the certificates of the Dask cluster if missing; return whether they were."""
    return dask_certificates.draw(FOLDER / _DASK, CONTAINER_UID if os.getuid() == 0 else None)


def find_lost(existing: Mapping[str, str]) -> list[str]:
    """Say which lost secrets an existing volume was created with, and what to do."""
    return [
        f"{FOLDER / name} is missing, and volume {existing[service]} knows only the password that "
        f"it was created with: {ways_out(name, existing[service])}"
        for name, service in REMEMBERED_BY.items()
        if service in existing and not has_secret(FOLDER / name)
    ]


def ways_out(name: str, volume: str) -> str:
    """Say what to do about a volume that was created with another secret."""
    service = REMEMBERED_BY[name]
    project = volume.removesuffix(f"_{service}")
    return (
        f"restore that file, or delete the volume with all that it holds (docker rm --force "
        f"{project}-{service}-1; docker volume rm {volume}); then start again"
    )


def for_compose() -> dict[str, str]:
    """Return compose variables: secrets for images that cannot read our files, and digests.

    The digests are labels of the containers that read the files, so that compose replaces them when
    a secret has changed. Raises StackError if a file is not text.
    """
    secrets = {name: read(FOLDER / name) for name in NAMES}
    certificates = [read(FOLDER / _DASK / f"{member}.pem") for member in dask_certificates.MEMBERS]
    passed = {name.upper(): secrets[name] for name in REMEMBERED_BY if secrets[name]}
    if alertmanager := read(FOLDER / ALERTMANAGER):
        passed["ALERTMANAGER_CONFIGURATION"] = alertmanager
    return {
        **passed,
        "MLSTACK_SECRETS": _digest(*secrets.values()),
        "MLSTACK_ALERTMANAGER": _digest(alertmanager),
        "MLSTACK_DASK": _digest(*certificates),
    }


def read(path: Path) -> str:
    """Read a secret; empty if there is none, or this user may not read it.

    Raises StackError if it is not text.
    """
    if not os.access(path, os.R_OK):
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise StackError(f"{path} is not a text file: restore it") from error


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:_DIGITS]
