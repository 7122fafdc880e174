"""The deployment member: makes this machine one of several that share a deployment record.

It copies the record from S3 into the state folder, where servers read it, and reports in S3 what
they serve. One runs per state folder: `python -m mlstack.deployment.member`. While S3 cannot be
reached, servers start and work with the copy.
"""

import logging
import math
import os
import time
from pathlib import Path
from secrets import token_hex

from mlstack import command_line, heartbeat
from mlstack.caller_environment import LOOPBACK
from mlstack.deployment.record import DeploymentState, Record, Statement
from mlstack.deployment.shared_objects import SharedDocument, SharedObjects, Version
from mlstack.errors import DeploymentError, SettingsError
from mlstack.files import write_atomically
from mlstack.s3_address import S3Address
from mlstack.settings import Settings
from mlstack.waiting import Retry, Stop, run_until_stopped

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_RENEW_SECONDS = 5.0
"""Time after which the lease is renewed, a third of its duration."""

_ABANDON_SECONDS = 12.0


class DeploymentMember:
    """Follows the shared record, and reports what the machine's workers serve."""

    def __init__(self, settings: Settings, folder: S3Address) -> None:
        self._name = _name(settings)
        self._local = DeploymentState(settings.state_path)
        self._shared = SharedObjects(folder)
        self._known: Version | None = None
        self._told: list[Statement] = []
        self._told_at = -math.inf

    def turn(self) -> None:
        """Copy the record if it has changed, and renew the lease if it is due.

        Raises RecordUnavailable if S3 cannot be used, and DeploymentError if the record cannot.
        """
        version = self._shared.read(self._known) or self._seed()
        if version and version is not self._known:
            self._copy(version.document)
        self._known = version
        self._tell(version.document.record if version else None)

    def leave(self) -> None:
        """Say that this machine stops."""
        try:
            self._shared.leave(self._name)
        except DeploymentError as error:
            log.warning("deployments may wait for this machine for some seconds: %s", error)

    def _seed(self) -> Version | None:
        """Write this machine's record to S3, which has none: it never had one, or lost it."""
        record, history = self._local.record(), tuple(self._local.history())
        if record is None and not history:
            return None
        log.info("the shared folder has no record: writing this machine's")
        return self._shared.write(SharedDocument(record=record, history=history), None)

    def _copy(self, document: SharedDocument) -> None:
        self._local.copy(document.record, document.history)
        before = self._known.document.record if self._known else None
        if (record := document.record) and record != before:
            log.info("run %s is deployed, by %s", record.run_id, record.deployed_by)

    def _tell(self, record: Record | None) -> None:
        # Read after the record was copied: a worker that is missing here starts with this record.
        statements = [
            Statement(
                server="deployment-member",
                worker=f"{os.uname().nodename}-{os.getpid()}",
                run_id=record.run_id if record else None,
            ),
            *(each.model_copy(update={"written": ""}) for each in self._local.statements()),
        ]
        if statements != self._told or time.monotonic() - self._told_at >= _RENEW_SECONDS:
            self._shared.tell(self._name, statements)
            self._told, self._told_at = statements, time.monotonic()


def _name(settings: Settings) -> str:
    """Return the machine's name for people, with an id that no other state folder has."""
    path: Path = settings.state_path / "deployment" / "member"
    if not path.exists():
        write_atomically(path, token_hex(3).encode())
    # In a container, the host's own name means nothing to people.
    host = settings.public_host
    host = os.uname().nodename if host in LOOPBACK else host
    return f"{host}-{path.read_text(encoding='ascii')}"


def follow(settings: Settings, stop: Stop) -> None:
    """Follow the shared record until the stop request.

    Raises SettingsError if there is none.
    """
    folder = settings.deployment_record
    if folder is None:
        raise SettingsError("DEPLOYMENT_RECORD is empty: there is no shared record to follow")
    member = DeploymentMember(settings, folder)
    contact = heartbeat.deployment_member(settings)
    what = f"following {folder}, while servers go on with the copy of the record here"
    retry = Retry(log, what, DeploymentError, stop=stop, defects=True)
    try:
        while not stop.requested:
            retry(member.turn)
            contact.beat()
            stop.wait(_LOOK_SECONDS)
    finally:
        contact.remove()
        member.leave()


def main() -> None:
    """Run the member."""
    command_line.log_to_stderr()
    settings = Settings.load()
    stop = Stop()
    run_until_stopped(lambda: follow(settings, stop), stop, _ABANDON_SECONDS)


if __name__ == "__main__":
    command_line.run(main, "deployment member: ")
