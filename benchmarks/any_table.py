"""Compare the search on drafted contracts of public tables with LightGBM's defaults.

Usage: python -m benchmarks.any_table [trials]

Each table is split with five seeds. Both learn from the training rows; the search also uses the
validation rows, to stop and to choose. The loss on the test rows is that which the search
minimises. The difference counts as none if it is within two standard errors of its mean.
"""

import math
import sys
from collections.abc import Mapping
from statistics import mean, stdev
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mlstack.contract import Contract
from mlstack.contract.target import BinaryTarget, MulticlassTarget, RegressionTarget, Target
from mlstack.data.dataset import clean, read_raw, split
from model_orchestration.metrics import evaluate, loss_name
from model_orchestration.search import search
from model_orchestration.trials import Rows
from operations.contract_draft.draft import draft_contract
from tests.support.public_tables import BINARY, MULTICLASS, REGRESSION, PublicTable

TRIALS = 20
SEEDS = range(1, 6)
_OBJECTIVES: Final[Mapping[type, str]] = {
    BinaryTarget: "binary",
    RegressionTarget: "regression",
    MulticlassTarget: "multiclass",
}


def main() -> None:
    """Print a table."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS
    print(f"{trials} trials, {len(SEEDS)} seeds\n")
    print("| table | rows | loss | the search | LightGBM | difference ± standard error | |")
    print("|---|---|---|---|---|---|---|")
    for table in (*BINARY, *REGRESSION, *MULTICLASS):
        print(_compare(table, trials), flush=True)


def _compare(table: PublicTable, trials: int) -> str:
    raw = read_raw(table.csv())
    drafted = Contract.parse(draft_contract(raw, table.target, table.name, table.item).contract)
    rows = clean(raw, drafted)
    ours, theirs = list[float](), list[float]()
    for seed in SEEDS:
        shares = drafted.split.model_copy(update={"seed": seed})
        contract = drafted.model_copy(update={"split": shares})
        parts = split(rows, contract)
        train, validation, test = (Rows.encode(part, contract) for part in parts)
        best = search(train, validation, contract.target, trials=trials, seed=seed)
        assert best.booster is not None  # noqa: S101 - a winner has a model
        loss = loss_name(contract.target)
        for losses, scores in (
            (ours, best.booster.inplace_predict(test.matrix)),
            (theirs, _lightgbm(train, test, contract.target)),
        ):
            losses.append(evaluate(contract.target, test.outcomes, scores)[loss])
    differences = [our - their for our, their in zip(ours, theirs, strict=True)]
    error = stdev(differences) / math.sqrt(len(SEEDS))
    verdict = "worse" if mean(differences) > 2 * error else "no worse"
    figures = f"{mean(ours):.4g} | {mean(theirs):.4g} | {mean(differences):+.2g} ± {error:.2g}"
    return f"| {table.name} | {len(rows):,} | {loss} | {figures} | {verdict} |"


def _lightgbm(train: Rows, test: Rows, target: Target) -> NDArray[np.float32]:
    import lightgbm  # noqa: PLC0415 - only the group `bench` has it

    settings: dict[str, Any] = {"num_threads": 1, "seed": 1, "verbose": -1}
    settings["objective"] = _OBJECTIVES[type(target)]
    if isinstance(target, MulticlassTarget):
        settings["num_class"] = len(target.classes)
    model = lightgbm.train(settings, lightgbm.Dataset(train.matrix, train.outcomes))
    return np.asarray(model.predict(test.matrix), dtype=np.float32)


if __name__ == "__main__":
    main()
