"""Share the cores among trials: side by side first, then threads within each for large tables."""

import os
from typing import Final, NamedTuple

CELLS_PER_THREAD: Final = 1_000_000


class CoreShare(NamedTuple):
    """How many trials train at the same time, and with how many threads each."""

    trials: int
    threads: int

    @classmethod
    def for_table(cls, cells: int, lag: int, cores: int | None = None) -> "CoreShare":
        """Decide by the cells of the training matrix.

        At most `lag` trials train at the same time. `cores` are those that this process may use.
        """
        cores = len(os.sched_getaffinity(0)) if cores is None else cores
        trials = min(lag, cores)
        return cls(trials, min(cores // trials, max(1, cells // CELLS_PER_THREAD)))
