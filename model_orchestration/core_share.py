"""Share the cores: trials side by side first, then threads of each for large tables."""

import os
from typing import Final, NamedTuple

CELLS_PER_THREAD: Final = 1_000_000


class CoreShare(NamedTuple):
    """How trials share this machine.

    Args:
        trials: How many train at the same time.
        most_threads: Most threads that speed up one of them.
        cores: Number of cores that they share.
    """

    trials: int
    most_threads: int
    cores: int

    @classmethod
    def for_table(cls, cells: int, lag: int, cores: int | None = None) -> "CoreShare":
        """Decide by the cells of the training matrix.

        At most `lag` trials train at the same time. `cores` are those that this process may use.
        """
        cores = len(os.sched_getaffinity(0)) if cores is None else cores
        return cls(min(lag, cores), min(cores, max(1, cells // CELLS_PER_THREAD)), cores)

    def threads(self, training: int) -> int:
        """Return how many threads each trial has while `training` of them train."""
        return min(self.most_threads, max(1, self.cores // training))
