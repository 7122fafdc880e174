"""The deployment record that several machines share, as a deploy sees it."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlstack.caller_environment import user_name
from mlstack.deployment.record import (
    LOCK_SECONDS,
    DeploymentState,
    HistoryEntry,
    Record,
    Statement,
)
from mlstack.deployment.shared_objects import Member, SharedDocument, SharedObjects, Version
from mlstack.errors import DeploymentError, Overtaken, RecordUnavailable
from mlstack.s3_address import S3Address

log = logging.getLogger(__name__)

_KILLED_SECONDS = 90.0
"""Time without a step after which a deployment counts as killed: each step takes less."""

_FORGOTTEN_SECONDS = 86_400.0
"""Silence after which a member is not mentioned any more."""


class SharedState(DeploymentState):
    """Record and history in S3, and the statements of all living members.

    The files in the state folder are their local copy. It is used while S3 does not answer, and
    until S3 has a record: the first deployment or member writes its own there.
    """

    def __init__(self, folder: Path, shared: S3Address) -> None:
        super().__init__(folder)
        self._shared = SharedObjects(shared)
        self._held: Version | None = None
        self._members: list[Member] | None = None

    def record(self) -> Record | None:
        """Return the record; None if nothing was ever deployed."""
        return self._document().record

    def history(self) -> list[HistoryEntry]:
        """Return all deployment attempts, oldest first."""
        return list(self._document().history)

    def remove_record(self) -> None:
        """Remove the record, as if nothing had ever been deployed."""
        self._replace(record=None)

    def statements(self) -> list[Statement]:
        """Return the statements of the workers of all living members."""
        members = self._members = self._shared.members()
        return [
            statement.model_copy(update={"server": f"{statement.server} of {member.name}"})
            for member in members
            for statement in member.statements
        ]

    def reached(self) -> str:
        """Say which machines the last deployment reached, and which were left out."""
        if self._members is None:
            return ""
        living = [member.name for member in self._members if member.is_alive]
        lost = [
            f"{member.name} (no sign of life for {member.silent_seconds:.0f} s)"
            for member in self._members
            if not member.is_alive and member.silent_seconds < _FORGOTTEN_SECONDS
        ]
        lines = [f"machines that follow it: {', '.join(living) or 'none yet'}"]
        if lost:
            lines.append(f"left out until they reach S3 again: {', '.join(lost)}")
        return "\n".join(lines)

    @contextmanager
    def lock(self, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """Prevent deployments on all machines, and on this one what `DeploymentState.lock` does.

        Raises DeploymentError if another deployment is in progress.
        """
        with super().lock(seconds):
            self._held = self._acquire()
            try:
                yield
            finally:
                self._release()

    def _acquire(self) -> Version:
        version = self._shared.read()
        if version and version.document.deploying:
            age = self._shared.age_seconds(version)
            if age < _KILLED_SECONDS:
                raise DeploymentError(
                    f"another deployment is in progress, by {version.document.deploying}; try "
                    f"again when it has finished, or {_KILLED_SECONDS - age:.0f} s from now if it "
                    "was killed"
                )
        document = version.document if version else self._local_copy()
        try:
            return self._shared.write(
                document.model_copy(update={"deploying": user_name()}), version
            )
        except Overtaken as error:
            raise DeploymentError(
                "another deployment began at the same moment; try again when it has finished"
            ) from error

    def _release(self) -> None:
        try:
            self._replace(deploying="")
        except Overtaken:
            pass  # the lock belongs to the other deployment now
        except RecordUnavailable as error:
            log.warning("the next deployment may have to wait %.0f s: %s", _KILLED_SECONDS, error)
        finally:
            self._held = None

    def _write(self, record: Record) -> None:
        self._replace(record=record)

    def _write_history(self, entries: Iterable[HistoryEntry]) -> None:
        self._replace(history=tuple(entries))

    def _replace(self, **changes: Any) -> None:
        if self._held is None:
            raise RuntimeError("hold the lock first")
        document = self._held.document.model_copy(update=changes)
        self._held = self._shared.write(document, self._held)

    def _document(self) -> SharedDocument:
        if self._held:
            return self._held.document
        try:
            version = self._shared.read()
        except RecordUnavailable as error:
            log.warning("%s; using this machine's copy of the record", error)
            version = None
        return version.document if version else self._local_copy()

    def _local_copy(self) -> SharedDocument:
        return SharedDocument(record=super().record(), history=tuple(super().history()))
