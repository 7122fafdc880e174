"""Shows a drift's way through the running stack.

Usage: python -m operations.demo.drift_demo [DRIFT]

Sends a window full of drifted customers to the running stack, as the simulator does, and
follows the first of them: stored, seen in the gauges, alarmed about, reported. A window that
is not calm before is calmed by ordinary customers first, so that it can be run again.
"""

import sys
import time
from collections.abc import Callable, Iterator

from mlstack.contract import Contract
from mlstack.contract.drifts import drifts_path, load_drift, load_drifts
from mlstack.errors import MlstackError
from mlstack.flows.run import require_runnable
from mlstack.settings import Settings
from operations.demo.errors import DemoError
from operations.demo.reporter import Reporter
from operations.demo.sender import Sender
from operations.demo.stack import ALERT, Stack
from operations.demo.table import POLL_SECONDS, STEP_SECONDS, Table
from reporting.deployment import reporting_flow


def demo_drift(name: str) -> None:
    """Shows a drift's way through the running stack.

    Args:
        name: Of the drift; empty: the first one of the contract's.

    Raises:
        MlstackError: the stack is not up, there is no such drift, or nobody notices it.
    """
    settings = Settings.load()
    contract = Contract.load(settings.contract_path)
    path = drifts_path(settings.contract_path)
    name = name or next(iter(load_drifts(contract, path)))
    drift = load_drift(contract, path, name)
    stack = Stack(settings, contract)
    stack.require()
    require_runnable(reporting_flow)
    lack = stack.lack_of_alerts()
    _say(f"== Drift {name}: {drift.meaning}")
    _say(
        f"   It is about {drift.share:.0%} of the customers, and about {', '.join(drift.features)}"
    )
    if lack:
        _say(f"   No alert will be shown: {lack}")
    _calm(stack, settings, contract, alerts=not lack)
    _say(f"\n== {settings.monitor_window_rows:,} customers who have changed, one after the other")
    table = Table(lambda text, end: print(text, end=end, flush=True), live=sys.stdout.isatty())  # noqa: T201
    with Sender(settings, contract, name) as sender:
        table.follow("the first one is answered", sender.first)
        table.follow("stored in MongoDB", lambda: _if(stack.is_stored(sender.first()), "yes"))
        table.follow("drift in the gauges of /metrics", lambda: _drifted(stack, sender))
        if not lack:
            table.follow(f"alert {ALERT} fires", lambda: _if(stack.fires(), "yes"))
        table.follow("all of them are answered", lambda: _if(sender.done(), f"{sender.count:,}"))
    with Reporter(settings) as reporter:
        table.follow("a report is made", reporter.verdict)
    _say("\n".join(_closing(settings, alerts=not lack)))


def _calm(stack: Stack, settings: Settings, contract: Contract, *, alerts: bool) -> None:
    """Has ordinary customers fill the window, unless it is calm already."""

    def calm() -> bool:
        return stack.gauges().drifted is False and not (alerts and stack.fires())

    if calm():
        return
    _say(f"\n== First {settings.monitor_window_rows:,} ordinary customers: the window is not calm")
    with Sender(settings, contract, None) as sender:
        _wait(sender.done, "the server answers too slowly")
    _wait(
        calm,
        "ordinary customers count as drifted too: the model was trained on others, or somebody "
        "sends drifted ones. The monitoring service's page has the features",
    )
    _say("   the window is calm")


def _wait(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + STEP_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise DemoError(otherwise)
        time.sleep(POLL_SECONDS)


def _drifted(stack: Stack, sender: Sender) -> str:
    sender.first()  # raises when it cannot send any more
    gauges = stack.gauges()
    return ", ".join(gauges.features) if gauges.drifted else ""


def _if(happened: bool, then: str) -> str:  # noqa: FBT001 - it reads as a sentence
    return then if happened else ""


def _closing(settings: Settings, *, alerts: bool) -> Iterator[str]:
    yield "\nOpen:"
    yield f"  what drifted  {settings.monitor_page}/"
    yield f"  the gauges    {settings.monitor_page}/metrics"
    if alerts:
        yield f"  the alert     {settings.prometheus_page}/ (there: Alerts)"
    yield f"  all reports   {settings.reports_url}/"
    yield (
        f"The next {settings.monitor_window_rows:,} ordinary customers calm it again; the "
        "simulators send some every minute."
    )


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what the target shows


if __name__ == "__main__":
    try:
        demo_drift(sys.argv[1] if len(sys.argv) > 1 else "")
    except MlstackError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. The stack runs on.")
