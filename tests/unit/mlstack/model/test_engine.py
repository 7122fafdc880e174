"""The process that an engine runs in."""

import subprocess
import sys

from mlstack.settings import ROOT

_FORK = """
import os, sys
import mlstack.model.engine
if os.fork() == 0:
    sys.exit(0)
_, status = os.wait()
print(len(os.listdir("/proc/self/task")), os.waitstatus_to_exitcode(status))
"""


def test_worker_forked_after_import_ends_cleanly() -> None:
    """ONNX Runtime starts no thread to report its use, and a forked worker ends with 0."""
    environment = {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _FORK],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["1", "0"]), done.stderr
