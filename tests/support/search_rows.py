"""Rows for a small search: outcomes that a tree can learn in part."""

import numpy as np

from mlstack.contract.target import BinaryTarget
from model_orchestration.trials import Rows

TARGET = BinaryTarget(name="left", positive="yes", negative="no", meaning="The customer left.")


def search_rows(count: int, seed: int) -> Rows:
    """Draw rows with four columns."""
    chance = np.random.default_rng(seed)
    matrix = chance.random((count, 4), dtype=np.float32)
    outcomes = (matrix[:, 0] + 0.5 * chance.random(count) > 1).astype(np.int64)
    return Rows(matrix, outcomes)


TRAIN, VALIDATION = search_rows(400, seed=1), search_rows(200, seed=2)
