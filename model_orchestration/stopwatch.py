"""Measure where a process spends its time."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up the seconds of named parts, which do not overlap."""

    def __init__(self) -> None:
        self._seconds = defaultdict[str, float](float)

    @contextmanager
    def time(self, part: str) -> Iterator[None]:
        """Count the time of the block for a part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[part] += time.perf_counter() - start

    def __str__(self) -> str:
        parts = ", ".join(f"{part} {spent:.1f}" for part, spent in self._seconds.items())
        return f"{sum(self._seconds.values()):.1f} s: {parts}"
