"""A report, made as `make report` makes it."""

import subprocess
import sys
from typing import Self

from mlstack.settings import ROOT, Settings
from operations.demo.errors import DemoError
from reporting.report import Report
from reporting.report_store import ReportStore


class Reporter:
    """Runs the reporting flow.

    Args:
        settings: Where reports are kept and shown.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._before = self._newest()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "reporting.quick_run"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The flow run itself is Prefect's, and goes on.
        if self._process.poll() is None:
            self._process.terminate()
            self._process.communicate()

    def verdict(self) -> str:
        """What the report says, and where it is; empty: it is still being made.

        Raises:
            DemoError: there will be none.
        """
        if self._process.poll() is None:
            return ""
        output, _ = self._process.communicate()
        report = self._newest()
        if self._process.returncode or report is None or report == self._before:
            raise DemoError(f"there is no report:\n{output.strip()}")
        return f"{report.verdict}: {self._settings.reports_url}/{report.html}"

    def _newest(self) -> Report | None:
        with ReportStore(self._settings.mongo_uri) as store:
            return next(iter(store.newest(1)), None)
