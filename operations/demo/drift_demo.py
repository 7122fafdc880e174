"""Show how the running stack detects drift (`make demo-drift`).

Usage: python -m operations.demo.drift_demo [DRIFT]

It sends a window of drifted customers and follows the first of them: answered, stored, visible in
the gauges, alerted on, told to people and reported. If the window already shows drift, it sends
ordinary customers first, so the demonstration is repeatable.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Self

from mlstack.command_line import run, say
from mlstack.contract import Contract
from mlstack.contract.drifts import drifts_path, load_drift, load_drifts
from mlstack.errors import listing
from mlstack.flows.run import require_runnable
from mlstack.settings import ROOT, Settings
from mlstack.waiting import wait_until
from operations.demo.messages import Messages
from operations.demo.running_stack import ALERT, RunningStack
from operations.demo.sender import Sender
from operations.errors import StackError
from reporting.schedule import reporting_schedule

STEP_SECONDS = 120.0
"""Time limit of each step."""

POLL_SECONDS = 0.2


def demo_drift(name: str) -> None:
    """Show how the stack detects the named drift, or else the contract's first one.

    Raises MlstackError if the stack is down, or the drift is unknown or not detected in time.
    """
    settings = Settings.load()
    contract = Contract.load(settings.contract_path)
    path = drifts_path(settings.contract_path)
    name = name or next(iter(load_drifts(contract, path)))
    drift = load_drift(contract, path, name)
    stack = RunningStack(settings, contract)
    stack.require_ready()
    require_runnable(reporting_schedule())
    no_alerts = stack.alerts_fault()
    messages = None if no_alerts else Messages(settings)
    say(f"== Drift {name}: {drift.meaning}")
    say(f"   It affects {drift.share:.0%} of the customers and changes {listing(drift.features)}")
    if no_alerts:
        say(f"   No alert will be shown: {no_alerts}")
    _calm(stack, settings, contract, messages)
    say(f"\n== {settings.monitor_window_rows:,} changed customers, sent one at a time")

    def drifted_features() -> str:
        sender.first()  # raises if sending has failed
        gauges = stack.gauges()
        return listing(gauges.features) if gauges.drifted else ""

    timeline = Timeline(live=sys.stdout.isatty())
    with Sender(settings, contract, name) as sender:
        timeline.follow("the first one is answered", sender.first)
        timeline.follow(
            "stored in MongoDB", lambda: "yes" if stack.has_predictions(sender.first()) else ""
        )
        timeline.follow("drift in the gauges of /metrics", drifted_features)
        if messages:
            timeline.follow(f"alert {ALERT} fires", lambda: "yes" if stack.alert_fires() else "")
            if messages.are_expected:
                messages.begin()
                timeline.follow("a message in an inbox", messages.seen)
        timeline.follow(
            "all of them are answered", lambda: f"{sender.count:,}" if sender.is_done() else ""
        )
    with ReportRun(settings, stack) as report:
        timeline.follow("a report is created", report.verdict)
    say(_closing(settings, alerts=not no_alerts))


def _calm(
    stack: RunningStack, settings: Settings, contract: Contract, messages: Messages | None
) -> None:
    """Fill the window with ordinary customers, unless it shows no drift.

    `messages` is None if there are no alerts.
    """

    def is_calm() -> bool:
        return stack.gauges().drifted is False and not (messages and stack.alert_fires())

    if is_calm():
        return
    told = messages if messages and messages.are_expected and stack.alert_fires() else None
    if told:
        told.begin()
    say(
        "\n== The window already shows drift: sending "
        f"{settings.monitor_window_rows:,} ordinary customers first"
    )
    with Sender(settings, contract, None) as sender:
        wait_until(sender.is_done, "the server answers too slowly", STEP_SECONDS)
    wait_until(
        is_calm,
        "ordinary customers are flagged as drifted too: the model was trained on different data, "
        "or another sender is sending drifted customers. The monitoring page shows the features",
        STEP_SECONDS,
    )
    if told:
        # Until then, Alertmanager sends no message about a new drift.
        wait_until(told.seen, "Alertmanager does not say that the drift is over", STEP_SECONDS)
    say("   the window shows no drift")


class Timeline:
    """Prints steps with their timing; `live` shows a running timer, for terminals."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._began = self._before = time.monotonic()
        say(f"   {'':<40} {'after':>8} {'took':>8}")

    def follow(self, title: str, look: Callable[[], str]) -> None:
        """Poll `look` until it returns a text, and print it; until then it returns "".

        Raises Unavailable if the step does not happen in time.
        """

        def poll() -> str:
            seen = look()
            if not seen and self._live:
                waited = time.monotonic() - self._before
                sys.stdout.write(f"\r   {title:<40} {'...':>8} {waited:6.1f} s")
                sys.stdout.flush()
            return seen

        seen = wait_until(
            poll,
            f"{title}: did not happen in time; see make status",
            STEP_SECONDS,
            every=POLL_SECONDS,
        )
        now = time.monotonic()
        line = f"   {title:<40} {now - self._began:6.1f} s {now - self._before:6.1f} s   {seen}"
        say(f"\r{line}" if self._live else line)
        self._before = now


class ReportRun:
    """A run of the reporting flow, started like `make report`."""

    def __init__(self, settings: Settings, stack: RunningStack) -> None:
        self._settings, self._stack = settings, stack
        self._before = stack.newest_report()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "reporting.schedule", "run"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The flow run itself belongs to Prefect and continues.
        if self._process.poll() is None:
            self._process.terminate()
            self._process.communicate()

    def verdict(self) -> str:
        """Return the report's verdict and URL; empty until it is made.

        Raises StackError if the run ends without a report.
        """
        if self._process.poll() is None:
            return ""
        output, _ = self._process.communicate()
        report = self._stack.newest_report()
        if self._process.returncode or report is None or report == self._before:
            raise StackError(f"no report was created:\n{output.strip()}")
        return f"{report.verdict}: {self._settings.reports_url}/{report.html}"


def _closing(settings: Settings, *, alerts: bool) -> str:
    alert = f"  the alert     {settings.prometheus_page}/ (there: Alerts)\n" if alerts else ""
    return (
        "\nOpen:\n"
        f"  what drifted  {settings.monitor_page}\n"
        f"  the gauges    {settings.front_page}/metrics\n"
        f"{alert}"
        f"  all reports   {settings.reports_url}/\n"
        f"The next {settings.monitor_window_rows:,} ordinary customers clear the drift again; the "
        "simulators send some every minute."
    )


def main() -> int:
    """Show the drift that the command line names."""
    try:
        demo_drift(sys.argv[1] if len(sys.argv) > 1 else "")
    except KeyboardInterrupt:
        say("\nStopped. The stack keeps running.", sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    run(main, prefix="\n")
