"""Compare drift tests: false alarms, missed drifts, and cost.

Usage: [DATA_FILE=...] python -m benchmarks.drift_detection [windows]

As in the flow, the reference is the training part of the real table. Windows without drift come
from its other rows, which no model has seen, and from the simulators' customers. Each drift of the
contract is applied to both. Without DATA_FILE it uses the real table next to the checkout or, if
missing, the sample, which is less conclusive.
"""

import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from evidently.legacy.calculations.stattests import get_stattest
from evidently.legacy.core import ColumnType

from benchmarks.drift_data import Draw, DriftData
from mlstack.contract import Contract, contract_files
from mlstack.contract.prediction_fields import PREDICTION, TARGET
from mlstack.quality.drift import DriftDetector, comparison_method, threshold, with_labels
from mlstack.quality.results import Method
from mlstack.settings import ROOT, Settings
from reporting.evidently_page import drift_html

SIZES = (100, 1000)
P_VALUES = ("ks", "chisquare")
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Rule:
    """A rule that decides whether the data set has drifted.

    Args:
        numbers: Evidently's method for numbers.
        categories: Evidently's method for categories and ordinals.
        limit: Returns a column's threshold, given the method, the number of rows and the number of
            reference rows.
        least: Share of features that must drift; 0 means that one is enough.
    """

    numbers: str
    categories: str
    limit: Callable[[str, int, int], float]
    least: float = 0.0

    def drifted(
        self, scores: Mapping[str, float], methods: Mapping[str, str], n: int, m: int
    ) -> bool:
        """Return whether the data set has drifted."""
        hits = 0
        for name, score in scores.items():
            limit = self.limit(methods[name], n, m)
            hits += score < limit if methods[name] in P_VALUES else score >= limit
        return hits >= max(1, self.least * len(scores))


def main() -> None:
    """Print the tables."""
    windows = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    for path in contract_files(ROOT / "contracts"):
        _measure(path, windows)


def _measure(path: Path, windows: int) -> None:
    data = DriftData(path)
    contract = data.contract
    print(
        f"\n### {contract.name}: {len(contract.features)} features, {data.file.name}, reference "
        f"of {len(data.reference):,} rows, {windows} windows each"
    )
    _false_alarms_and_misses(data, windows)
    _other_rules(data, windows)
    _estimates(data, windows)
    _cost(data)


def _false_alarms_and_misses(data: DriftData, windows: int) -> None:
    contract, count = data.contract, len(data.reference)
    detector = DriftDetector(contract, data.reference)
    reference = with_labels(data.reference, contract)
    methods: dict[str, str] = {
        feature.name: comparison_method(feature) for feature in contract.features
    }
    rule = Rule("wasserstein", "jensenshannon", _our_limit)
    print("\nWindows reported as drifted: features / prediction\n")
    print("| customers | drift | " + " | ".join(f"{size:,} rows" for size in SIZES) + " |")
    print("|---|---|" + "---|" * len(SIZES))
    for source, draw in data.sources.items():
        for name, drift in data.drifts.items():
            cells = []
            for size in SIZES:
                drawn = [data.window(draw, size, drift, seed) for seed in range(windows)]
                scores = [_scores(reference, with_labels(w, contract), methods) for w in drawn]
                features = [rule.drifted(each, methods, size, count) for each in scores]
                if detector.compare_features(drawn[0]).drifted != features[0]:
                    sys.exit("the detector disagrees with this benchmark")
                limit = threshold("wasserstein", size, count)
                shifts = [_scores(reference, w, {PREDICTION: "wasserstein"}) for w in drawn]
                predictions = sum(shift[PREDICTION] >= limit for shift in shifts)
                cells.append(f"{sum(features)} / {predictions}")
            print(f"| {source} | {name} | " + " | ".join(cells) + " |", flush=True)


def _our_limit(method: str, rows: int, reference_rows: int) -> float:
    ours: Method = "wasserstein" if method == "wasserstein" else "jensenshannon"
    return threshold(ours, rows, reference_rows)


def _rules(contract: Contract) -> dict[str, Rule]:
    corrected = SIGNIFICANCE / len(contract.features)
    return {
        "ours: Wasserstein and Jensen-Shannon, thresholds by number of rows, one feature": Rule(
            "wasserstein", "jensenshannon", _our_limit
        ),
        "the same with Evidently's 0.1 for both": Rule(
            "wasserstein", "jensenshannon", lambda *_: 0.1
        ),
        "the same, half of the features (Evidently's default)": Rule(
            "wasserstein", "jensenshannon", lambda *_: 0.1, least=0.5
        ),
        "PSI, 0.1": Rule("psi", "psi", lambda *_: 0.1),
        "p-values (K-S, chi-squared), 0.05": Rule("ks", "chisquare", lambda *_: SIGNIFICANCE),
        "p-values, Bonferroni": Rule("ks", "chisquare", lambda *_: corrected),
    }


def _other_rules(data: DriftData, windows: int) -> None:
    """Apply other rules to these windows, and to drift-free ones of report size."""
    contract = data.contract
    reference = with_labels(data.reference, contract)
    sizes = (100, 1000, 20_000)
    weakest = next(name for name, drift in data.drifts.items() if drift is not None)
    columns: list[tuple[str, Draw, int, str]] = [
        (f"{source}, {size:,} rows, none", draw, size, "none")
        for source, draw in data.sources.items()
        for size in sizes
    ]
    columns += [
        (f"real, {size:,} rows, {weakest}", data.sources["real"], size, weakest)
        for size in (100, 1000)
    ]
    tables = {
        label: [data.window(draw, size, data.drifts[name], seed) for seed in range(windows)]
        for label, draw, size, name in columns
    }
    print("\nWindows reported as drifted by other rules\n")
    print("| rule | " + " | ".join(tables) + " |")
    print("|---|" + "---|" * len(tables))
    for label, rule in _rules(contract).items():
        methods = {
            f.name: rule.numbers if comparison_method(f) == "wasserstein" else rule.categories
            for f in contract.features
        }
        counts = [
            sum(
                rule.drifted(
                    _scores(reference, with_labels(window, contract), methods),
                    methods,
                    len(window),
                    len(data.reference),
                )
                for window in drawn
            )
            for drawn in tables.values()
        ]
        print(f"| {label} | " + " | ".join(map(str, counts)) + " |", flush=True)


def _scores(
    reference: pd.DataFrame, window: pd.DataFrame, methods: Mapping[str, str]
) -> dict[str, float]:
    """Compute the scores of an Evidently report without rendering it.

    Both tables come from `with_labels`; `methods` has Evidently's method for each column.
    """
    scores = {}
    for name, method in methods.items():
        number = pd.api.types.is_float_dtype(reference[name])
        kind = ColumnType.Numerical if number else ColumnType.Categorical
        before, now = reference[name].dropna(), window[name].dropna()
        test = get_stattest(before, now, kind, method)
        scores[name] = float(test(before, now, kind, None).drift_score)
    return scores


def _estimates(data: DriftData, windows: int) -> None:
    """Compare estimated with measured quality."""
    pairs = [data.qualities(1000) for _ in range(windows)]
    print("\nQuality on real windows of 1,000 rows: mean (lowest to highest)\n")
    print("| | rmse | logloss | AUC | calibration error |\n|---|---|---|---|---|")
    for label, side in (("measured", 0), ("estimated", 1)):
        cells = []
        for figure in ("rmse", "logloss", "auc", "calibration_error"):
            values = [getattr(pair[side], figure) for pair in pairs]
            cells.append(f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
        print(f"| {label} | " + " | ".join(cells) + " |", flush=True)


def _cost(data: DriftData) -> None:
    draw = data.sources["real"]
    started = time.perf_counter()
    detector = DriftDetector(data.contract, data.reference)
    print(f"\nReference prepared in {time.perf_counter() - started:.2f} s. Best of 5, one core:\n")
    print("| rows | features, CPU s | prediction, CPU s | HTML, CPU s | HTML, MB |")
    print("|---|---|---|---|---|")
    for size in (1000, 10_000, 100_000):
        print(f"| {size:,} | {_costs_of(data, detector, data.window(draw, size, None, 1))} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak memory of this process, training included: {peak:.0f} MiB.")
    print(f"The service's window has {Settings().monitor_window_rows:,} rows.")


def _costs_of(data: DriftData, detector: DriftDetector, window: pd.DataFrame) -> str:
    window[TARGET] = np.arange(len(window)) % 5 // 4
    page = drift_html(data.contract, data.reference, window)
    works: dict[Callable[[], object], int] = {
        lambda: detector.compare_features(window): 5,
        lambda: detector.compare_prediction(window[PREDICTION]): 5,
        lambda: drift_html(data.contract, data.reference, window): 1,
    }
    seconds = [min(_spent(work) for _ in range(times)) for work, times in works.items()]
    return " | ".join([*(f"{each:.2f}" for each in seconds), f"{len(page.encode()) / 1e6:.1f}"])


def _spent(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
