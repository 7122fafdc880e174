"""Compare the quality of the search, nested in 5 folds, with other learners.

Usage: [DATA_FILE=...] python -m benchmarks.training_quality [trials]

The search of each fold sees only the other four folds, and takes its validation part from them. The
second table compares the spread over the folds with the winner of the flow's own split. Without
DATA_FILE it uses the real table next to the checkout or, if missing, the sample.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlstack.contract import Contract, contract_files
from mlstack.contract.target import Target
from mlstack.data import dataset
from mlstack.quality.figures import calibration_error
from mlstack.settings import ROOT, Settings
from model_orchestration.metrics import evaluate_chances
from model_orchestration.search import search
from model_orchestration.trials import Rows

Chances = NDArray[np.float64]
Learner = Callable[[Rows, Rows], Chances]
"""Trains on the first rows and returns predicted probabilities for the second."""

FIGURES = ("auc", "logloss", "rmse")
FOLDS = 5
VALIDATION_SHARE = 0.25
SEED = 20221


def table_file(contract: Contract) -> Path:
    """Find the raw table: DATA_FILE, the one next to the checkout, or the sample."""
    beside = ROOT.parent / "shared" / "data" / "credit_card_churn.csv"
    if named := os.environ.get("DATA_FILE"):
        return ROOT / named
    if beside.is_file():
        return beside
    if contract.data.sample is None:
        sys.exit(f"{contract.name} has no sample: set DATA_FILE")
    return ROOT / contract.data.sample


def main() -> None:
    """Print two tables for each contract."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else Settings().train_trials
    for path in contract_files(ROOT / "contracts"):
        contract = Contract.load(path)
        _compare(contract, trials)


def _compare(contract: Contract, trials: int) -> None:
    file = table_file(contract)
    rows = dataset.clean(dataset.read_raw(file), contract)
    encoded = Rows.encode(rows, contract)
    print(f"\n### {contract.name}: {len(contract.features)} features, {len(rows):,} rows")
    print(f"\n{file.name}, {FOLDS} folds, {trials} trials per search, one thread\n")
    print("| learner | AUC | logloss | rmse | ECE, pooled | s per fold |")
    print("|---|---|---|---|---|---|")
    learners: dict[str, Learner] = {
        "logistic regression": _logistic_regression,
        "XGBoost default": _xgboost,
        "LightGBM default": _lightgbm,
        "CatBoost default": _catboost,
        f"search, {trials} trials": lambda train, test: _search(
            train, test, contract.target, trials
        ),
    }
    folds = _stratified_folds(encoded)
    for name, learner in learners.items():
        start = time.perf_counter()
        chances = np.empty(len(rows))
        spread = []
        for fold in range(FOLDS):
            train, test = _take(encoded, folds != fold), _take(encoded, folds == fold)
            chances[folds == fold] = learner(train, test)
            spread.append(evaluate_chances(test.outcomes, chances[folds == fold]))
        means = " | ".join(f"{np.mean([m[key] for m in spread]):.4f}" for key in FIGURES)
        error = calibration_error(encoded.outcomes, chances)
        seconds = (time.perf_counter() - start) / FOLDS
        print(f"| {name} | {means} | {error:.4f} | {seconds:.1f} |", flush=True)
    parts = dataset.split(rows, contract)
    train, validation, test = (Rows.encode(part, contract) for part in parts)
    best = search(train, validation, contract.target, trials=trials, seed=SEED)
    assert best.booster is not None  # noqa: S101 - a winner has a model
    winner = evaluate_chances(test.outcomes, best.booster.inplace_predict(test.matrix))
    print("\n| | AUC | logloss | rmse |\n|---|---|---|---|")
    low, high = _edge(spread, np.min), _edge(spread, np.max)
    print(f"| lowest of the folds | {low} |\n| highest of the folds | {high} |")
    print(f"| the flow's winner on its test rows | {_row(winner)} |", flush=True)


def _edge(spread: list[dict[str, float]], pick: Callable[[list[float]], float]) -> str:
    return _row({key: float(pick([figures[key] for figures in spread])) for key in FIGURES})


def _row(figures: dict[str, float]) -> str:
    return " | ".join(f"{figures[key]:.4f}" for key in FIGURES)


def _stratified_folds(rows: Rows) -> NDArray[np.int64]:
    """Return each row's fold number, shape (n_rows,)."""
    chance = np.random.default_rng(SEED)
    folds = np.empty(len(rows.outcomes), dtype=np.int64)
    for value in (0, 1):
        members = chance.permutation(np.flatnonzero(rows.outcomes == value))
        folds[members] = np.arange(len(members)) % FOLDS
    return folds


def _take(rows: Rows, chosen: NDArray[np.bool_]) -> Rows:
    return Rows(rows.matrix[chosen], rows.outcomes[chosen])


def _search(train: Rows, test: Rows, target: Target, trials: int) -> Chances:
    chance = np.random.default_rng(SEED)
    held_out = np.zeros(len(train.outcomes), dtype=bool)
    for value in (0, 1):
        members = chance.permutation(np.flatnonzero(train.outcomes == value))
        held_out[members[: int(len(members) * VALIDATION_SHARE)]] = True
    inner, validation = _take(train, ~held_out), _take(train, held_out)
    best = search(inner, validation, target, trials=trials, seed=SEED)
    assert best.booster is not None  # noqa: S101 - a winner has a model
    return best.booster.inplace_predict(test.matrix).astype(np.float64)


def _logistic_regression(train: Rows, test: Rows) -> Chances:
    from sklearn.impute import SimpleImputer  # noqa: PLC0415 - each learner's time includes its import
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - slow to import
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - slow to import
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415 - slow to import

    model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=1000))
    return _positive(model.fit(train.matrix, train.outcomes).predict_proba(test.matrix))


def _xgboost(train: Rows, test: Rows) -> Chances:
    from xgboost import XGBClassifier  # noqa: PLC0415 - slow to import

    model = XGBClassifier(n_jobs=1, random_state=SEED).fit(train.matrix, train.outcomes)
    return _positive(model.predict_proba(test.matrix))


def _lightgbm(train: Rows, test: Rows) -> Chances:
    import lightgbm  # noqa: PLC0415 - slow to import

    settings = {"objective": "binary", "num_threads": 1, "seed": SEED, "verbose": -1}
    model = lightgbm.train(settings, lightgbm.Dataset(train.matrix, train.outcomes))
    return np.asarray(model.predict(test.matrix), dtype=np.float64)


def _catboost(train: Rows, test: Rows) -> Chances:
    from catboost import CatBoostClassifier  # noqa: PLC0415 - slow to import

    model = CatBoostClassifier(
        thread_count=1, random_seed=SEED, verbose=False, allow_writing_files=False
    )
    return _positive(model.fit(train.matrix, train.outcomes).predict_proba(test.matrix))


def _positive(chances: NDArray[np.floating]) -> Chances:
    return np.asarray(chances[:, 1], dtype=np.float64)


if __name__ == "__main__":
    main()
