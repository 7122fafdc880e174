"""The stack's own processes are told from all others."""

import os
from pathlib import Path

import psutil

from operations.embedded import processes
from operations.embedded.processes import Identity


def test_recorded_process_is_found(tmp_path: Path) -> None:
    record = tmp_path / "x.pid.json"
    Identity.of(os.getpid()).write(record)
    identity = Identity.read(record)
    assert identity is not None
    process = identity.process()
    assert process is not None
    assert process.pid == os.getpid()


def test_reused_pid_is_another_process() -> None:
    """After a restart of the machine a recorded pid may belong to another process."""
    assert Identity(os.getpid(), psutil.Process().create_time() - 60).process() is None


def test_unused_pid_is_no_process() -> None:
    assert Identity(2**22 + 1, 0.0).process() is None


def test_broken_record_is_no_identity(tmp_path: Path) -> None:
    record = tmp_path / "x.pid.json"
    assert Identity.read(record) is None
    for text in ("", '{"pid": 1', "{}", "[1]"):
        record.write_text(text)
        assert Identity.read(record) is None


def test_caller_and_ancestors_are_not_found(tmp_path: Path) -> None:
    """A target that runs inside a service must not end itself."""
    found = processes.find_by_service(tmp_path)
    assert os.getpid() not in {process.pid for group in found.values() for process in group}


def test_marker_names_checkout_and_service(tmp_path: Path) -> None:
    assert processes.marker(tmp_path, "mlflow") == {
        "MLSTACK_STACK": str(tmp_path),
        "MLSTACK_SERVICE": "mlflow",
    }
