"""The stack's own processes are told from all others."""

import os
from pathlib import Path

import psutil

from operations.embedded import processes
from operations.embedded.processes import Identity


def test_a_recorded_process_is_found_again(tmp_path: Path) -> None:
    record = tmp_path / "x.pid.json"
    Identity.of(os.getpid()).write(record)
    identity = Identity.read(record)
    assert identity is not None
    process = identity.process()
    assert process is not None
    assert process.pid == os.getpid()


def test_another_process_with_the_recorded_pid_is_not_taken_for_it() -> None:
    """Pids are used again: after a restart of the machine this one is somebody else's."""
    assert Identity(os.getpid(), psutil.Process().create_time() - 60).process() is None


def test_a_pid_that_nobody_has_is_no_process() -> None:
    assert Identity(2**22 + 1, 0.0).process() is None


def test_a_missing_or_half_written_record_is_no_identity(tmp_path: Path) -> None:
    record = tmp_path / "x.pid.json"
    assert Identity.read(record) is None
    for text in ("", '{"pid": 1', "{}", "[1]"):
        record.write_text(text)
        assert Identity.read(record) is None


def test_the_caller_and_its_ancestors_are_never_ended(tmp_path: Path) -> None:
    """A target that is run from within a service must not end itself."""
    found = processes.marked(tmp_path)
    assert os.getpid() not in {process.pid for group in found.values() for process in group}


def test_the_marker_is_the_checkout_and_the_service(tmp_path: Path) -> None:
    assert processes.marker(tmp_path, "mlflow") == {
        "MLSTACK_STACK": str(tmp_path),
        "MLSTACK_SERVICE": "mlflow",
    }
