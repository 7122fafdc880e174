"""Compare the synthetic sample with the real table that it was drawn from.

Prints the tables of `notebooks/sample/README.md`: what a model learns from the sample, how similar
columns and correlations are, and how far the sample's rows are from real ones.

Throughout, `real` is the real table and `raw` its values as text. Other tables have the types of
`RealTable.rows` unless described as text.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import NDArray
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import NearestNeighbors

from mlstack.command_line import run, say
from mlstack.contract import Contract
from mlstack.data.dataset import clean, read_raw
from mlstack.model.encoder import Encoder
from notebooks.sample.draw_sample import draw_sample, load, parser, sample_path
from notebooks.sample.real_table import Numbers, RealTable

FOLDS = 5
SEED = 0

_MODEL = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.05, "nthread": 1, "seed": SEED}
_TREES = 200
_NAME_WIDTH = 40


def distances(real: RealTable, sample: pd.DataFrame) -> pd.DataFrame:
    """Measure how far each column's distribution is from the real one.

    Returns:
        One row per column except the id: `measure`, its `distance` (0: identical, 1: disjoint), and
        the shares of missing or unknown values, `real_missing` and `sample_missing`.
    """
    unknown = {
        text
        for contract in real.contracts
        for text in (*contract.clean_up.missing_values, *contract.clean_up.void_row_values)
    }
    figures = {}
    for column in real.of_role("target", "category", "number"):
        ours, theirs = sample[column.name], real.rows[column.name]
        if column.role == "number":
            measure = "Kolmogorov-Smirnov"
            distance = float(ks_2samp(ours.dropna(), theirs.dropna(), method="asymp").statistic)
        else:
            measure = "total variation"
            shares = [values.value_counts(normalize=True) for values in (ours, theirs)]
            distance = float(shares[0].sub(shares[1], fill_value=0).abs().sum() / 2)
        figures[column.name] = {
            "measure": measure,
            "distance": distance,
            "real_missing": float((theirs.isna() | theirs.isin(unknown)).mean()),
            "sample_missing": float((ours.isna() | ours.isin(unknown)).mean()),
        }
    return pd.DataFrame.from_dict(figures, orient="index")


def correlation_differences(real: RealTable, sample: pd.DataFrame) -> Numbers:
    """Return the absolute differences of pairwise correlations, shape (n_pairs,).

    Each value of a text column, including the target, becomes a 0/1 column.
    """
    numbers = [column.name for column in real.of_role("number")]
    texts = [column.name for column in real.of_role("target", "category")]

    def correlations(rows: pd.DataFrame) -> pd.DataFrame:
        flags = pd.get_dummies(rows[texts], dtype=float)
        return pd.concat([rows[numbers], flags], axis="columns").corr()

    theirs = correlations(real.rows)
    ours = correlations(sample).reindex(index=theirs.index, columns=theirs.columns)
    pairs = np.triu_indices(len(theirs), k=1)
    differences: Numbers = np.abs(theirs.to_numpy(np.float64) - ours.to_numpy(np.float64))
    return differences[pairs]


def transfer(real: RealTable, raw: pd.DataFrame, sample: pd.DataFrame) -> pd.DataFrame:
    """Train models on real rows and on the sample (text); compute AUC on real rows.

    Returns:
        One row per contract, with means over the same folds of real rows: `real` is trained on the
        other folds; `sample` on the sample, which was drawn from all folds; `unseen` on a sample
        drawn from the other folds only.
    """
    names = [contract.name for contract in real.contracts]
    figures: list[pd.DataFrame] = []
    for others, fold in _folds(real, FOLDS):
        train, test = raw.iloc[others], raw.iloc[fold]
        unseen = draw_sample(RealTable(train, real.contracts), len(train), SEED)
        sources = {"real": train, "sample": sample, "unseen": unseen}
        figures.append(
            pd.DataFrame(
                {
                    source: [auc(rows, test, contract) for contract in real.contracts]
                    for source, rows in sources.items()
                },
                index=names,
            )
        )
    return pd.concat(figures).groupby(level=0).mean().loc[names]


def _folds(real: RealTable, count: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    folds = StratifiedKFold(count, shuffle=True, random_state=SEED)
    return list(folds.split(real.rows, real.rows[real.target]))


def auc(train: pd.DataFrame, test: pd.DataFrame, contract: Contract) -> float:
    """Train a model on raw rows, as text, and return its AUC on others."""
    encoder = Encoder(contract)

    def matrix(raw: pd.DataFrame) -> xgb.DMatrix:
        rows = clean(raw, contract)
        return xgb.DMatrix(
            encoder.encode_frame(rows), rows[contract.target.name].to_numpy(), nthread=1
        )

    tested = matrix(test)
    model = xgb.train(_MODEL, matrix(train), num_boost_round=_TREES)
    return float(roc_auc_score(tested.get_label(), model.predict(tested)))


def identical_rows(real: RealTable, sample: pd.DataFrame) -> dict[str, int]:
    """Count the rows that equal a real one, for each set of compared columns."""
    return {
        what: int(real.keys(sample, names).isin(real.keys(real.rows, names)).sum())
        for what, names in real.compared_columns.items()
    }


def nearest(real: RealTable, rows: pd.DataFrame, others: pd.DataFrame, *, skip: int = 0) -> Numbers:
    """Compute the distance of each row to its nearest row in `others`.

    The distance is the mean over all columns except the id. A number contributes the difference of
    its ranks in the real table (0 to 1); text contributes 0 when equal, else 1. The
    `skip` nearest rows are ignored: pass 1 if `others` contains `rows`.
    """
    search = NearestNeighbors(n_neighbors=1 + skip, metric="manhattan", n_jobs=1)
    search.fit(_positions(real, others))
    found: Numbers = search.kneighbors(_positions(real, rows))[0][:, skip]
    return found


def _positions(real: RealTable, rows: pd.DataFrame) -> Numbers:
    """Map rows to points whose Manhattan distance is that of `nearest`."""
    columns = real.of_role("target", "category", "number")
    axes: list[Numbers] = []
    for column in columns:
        values, theirs = rows[column.name], real.rows[column.name]
        if column.role == "number":
            ranks = theirs.dropna().sort_values().to_numpy(np.float64)
            sides = [np.searchsorted(ranks, values.to_numpy(), side=s) for s in ("left", "right")]
            axes.append((sides[0] + sides[1]) / 2 / len(ranks))
        else:
            # Rows with different text differ on two of these axes.
            axes += [(values == text).to_numpy(np.float64) / 2 for text in theirs.unique()]
    return np.column_stack(axes) / len(columns)


def memorisation(real: RealTable, raw: pd.DataFrame) -> float:
    """Measure whether a sample memorises the individual rows that it was drawn from.

    Returns:
        Share of rows drawn from one half of the real rows that are nearer to that half than to the
        other. 0.5: nothing was memorised; 1: rows were copied.
    """
    shares = []
    for half, other in _folds(real, 2):
        drawn = real.parse(draw_sample(RealTable(raw.iloc[half], real.contracts), len(half), SEED))
        own, foreign = (nearest(real, drawn, real.rows.iloc[part]) for part in (half, other))
        shares.append(np.mean(own < foreign) + np.mean(own == foreign) / 2)
    return float(np.mean(shares))


def report(real: RealTable, raw: pd.DataFrame, sample: pd.DataFrame) -> Iterator[str]:
    """Yield all figures of a sample, given as text, as lines of Markdown."""
    typed = real.parse(sample)
    learnt = transfer(real, raw, sample)
    yield f"AUC on real rows, mean of {FOLDS} folds (XGBoost, {_TREES} trees of depth 4, eta .05):"
    yield ""
    yield from _table(
        ("Contract", "trained on real rows", "on the sample", "on a sample without the fold"),
        [(name, *(f"{row[c]:.3f}" for c in learnt.columns)) for name, row in learnt.iterrows()],
    )
    pairs = correlation_differences(real, typed)
    ours, theirs = nearest(real, typed, real.rows), nearest(real, real.rows, real.rows, skip=1)
    yield ""
    yield from _table(
        ("Figure", "Value"),
        [
            ("Rows, sample / real", f"{len(sample):,} / {len(raw):,}"),
            (
                f"Correlations of {len(pairs)} pairs, absolute difference, mean / largest",
                f"{np.nanmean(pairs):.3f} / {np.nanmax(pairs):.3f}",
            ),
            *(
                (f"Rows equal to a real one in {what}", str(count))
                for what, count in identical_rows(real, typed).items()
            ),
            *(
                (
                    f"Distance to the nearest real row, {label}: sample / another real row",
                    f"{np.quantile(ours, at):.3f} / {np.quantile(theirs, at):.3f}",
                )
                for label, at in (("least", 0), ("1st percentile", 0.01), ("median", 0.5))
            ),
            (
                "Drawn from half of the real rows: share nearer to that half than to the other",
                f"{memorisation(real, raw):.3f}",
            ),
        ],
    )
    yield ""
    yield from _table(
        ("Column", "Measure", "Distance", "Unknown, real", "Unknown, sample"),
        [
            (
                f"`{_shorten(str(name))}`",
                row["measure"],
                *(f"{row[c]:.3f}" for c in ("distance", "real_missing", "sample_missing")),
            )
            for name, row in distances(real, typed).iterrows()
        ],
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(map(str, cells))} |"


def _shorten(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else f"{name[:20]}...{name[-10:]}"


def main() -> None:
    """Print the figures: `python -m notebooks.sample.judge_sample --real FILE`."""
    options = parser("notebooks.sample.judge_sample", __doc__)
    options.add_argument("--sample", type=Path, help="sample to judge (as the contracts name it)")
    arguments = options.parse_args()
    real = load(arguments.real, arguments.contract)
    sample = read_raw(arguments.sample or sample_path(real.contracts)).frame()
    for line in report(real, read_raw(arguments.real).frame(), sample):
        say(line)


if __name__ == "__main__":
    run(main, "judge_sample: ")
