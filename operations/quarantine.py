"""List what can never be stored, or put it back into the spool (`make quarantine`)."""

from collections.abc import Sequence
from datetime import UTC, datetime

from mlstack import command_line
from mlstack.prediction_log.quarantine import Quarantine, Quarantined, QuarantineError
from mlstack.settings import Settings

_ALL = "all"


def main() -> None:
    """List all entries, or replay some."""
    parser = command_line.argument_parser("operations.quarantine", __doc__)
    parser.add_argument("replay", nargs="?", help=f"id of the entry to store again, or {_ALL}")
    wanted = parser.parse_args().replay
    settings = Settings.load()
    quarantine = Quarantine(settings.quarantine_path)
    entries = quarantine.entries()
    if wanted:
        chosen = _choose(entries, wanted)
        quarantine.replay(chosen, settings.spool_path)
        command_line.say(
            f"{len(chosen)} back in the spool: the log keeper stores them, or returns them with "
            "the reason"
        )
        return
    if not entries:
        command_line.say("quarantine is empty: everything that was answered is, or will be, stored")
        return
    for entry in entries:
        command_line.say(_describe(entry))
    command_line.say(
        f"{len(entries)} in quarantine, in {settings.quarantine_path}. Once the cause is gone: "
        "make quarantine REPLAY=all, or REPLAY=<the first column>"
    )


def _choose(entries: Sequence[Quarantined], wanted: str) -> list[Quarantined]:
    chosen = [entry for entry in entries if wanted in (_ALL, entry.id)]
    if not chosen:
        raise QuarantineError(
            f"REPLAY={wanted}: nothing in quarantine has this id; make quarantine lists all"
        )
    return chosen


def _describe(entry: Quarantined) -> str:
    at = datetime.fromtimestamp(entry.written_at, UTC).isoformat(timespec="seconds")
    return f"{entry.id}  {at}  {entry.kind} of {entry.source}: {entry.reason}"


if __name__ == "__main__":
    command_line.run(main, "quarantine: ")
