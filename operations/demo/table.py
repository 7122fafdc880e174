"""What happens when: a line for each step, as it happens."""

import time
from collections.abc import Callable

from operations.demo.errors import DemoError

STEP_SECONDS = 120.0
"""For so long a step is waited for."""

POLL_SECONDS = 0.2


class Table:
    """Steps with the seconds since the beginning; on a terminal the current one is counted up.

    Args:
        say: Prints; the second argument says whether the line is over.
        live: Whether it is a terminal.
    """

    def __init__(self, say: Callable[[str, str], None], *, live: bool) -> None:
        self._say, self._live = say, live
        self._began = self._before = time.monotonic()
        self._say(f"   {'':<40} {'after':>8} {'took':>8}", "\n")

    def follow(self, title: str, look: Callable[[], str]) -> None:
        """Looks until there is something to see.

        Args:
            title: What is waited for.
            look: Returns what there is to see; empty: nothing yet.

        Raises:
            DemoError: it does not come.
        """
        while not (seen := look()):
            waited = time.monotonic() - self._before
            if waited > STEP_SECONDS:
                raise DemoError(f"{title}: not within {STEP_SECONDS:.0f} s; see make status")
            if self._live:
                self._say(f"\r   {title:<40} {'...':>8} {waited:6.1f} s", "")
            time.sleep(POLL_SECONDS)
        now = time.monotonic()
        line = f"   {title:<40} {now - self._began:6.1f} s {now - self._before:6.1f} s   {seen}"
        self._say(f"\r{line}" if self._live else line, "\n")
        self._before = now
