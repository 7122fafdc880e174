"""Compares the synthetic sample with the real table that it was drawn from.

Prints the tables of figures of `notebooks/sample/README.md`: what a model learns from the sample,
how like the columns and their correlations are, and how far the rows are from real ones.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import NearestNeighbors

from mlstack.contract import Contract
from mlstack.data.dataset import clean, read_raw
from mlstack.errors import MlstackError
from mlstack.model.encoder import Encoder
from notebooks.sample.draw_sample import draw_sample, load, parser, sample_path
from notebooks.sample.raw_table import Numbers, RawTable

FOLDS = 5
SEED = 0

_MODEL = {
    "objective": "binary:logistic",
    "max_depth": 4,
    "eta": 0.05,
    "nthread": 1,
    "seed": SEED,
}
_TREES = 200


def distances(real: RawTable, sample: pd.DataFrame) -> pd.DataFrame:
    """How far each column's distribution is from the real one.

    Args:
        real: The real table.
        sample: Typed as `RawTable.rows`.

    Returns:
        One row a column but for the id: `measure`, its `distance` (0: the same, 1: nothing
        in common) and the shares of missing or unknown values, `real_missing` and
        `sample_missing`.
    """
    unknown = {
        text
        for contract in real.contracts
        for text in (*contract.clean_up.missing_values, *contract.clean_up.void_row_values)
    }
    figures = {}
    for column in real.of_role("target", "category", "number"):
        ours, theirs = sample[column.name], real.rows[column.name]
        is_number = column.role == "number"
        figures[column.name] = {
            "measure": "Kolmogorov-Smirnov" if is_number else "total variation",
            "distance": _kolmogorov_smirnov(ours, theirs)
            if is_number
            else _total_variation(ours, theirs),
            "real_missing": float((theirs.isna() | theirs.isin(unknown)).mean()),
            "sample_missing": float((ours.isna() | ours.isin(unknown)).mean()),
        }
    return pd.DataFrame.from_dict(figures, orient="index")


def _kolmogorov_smirnov(ours: "pd.Series[float]", theirs: "pd.Series[float]") -> float:
    samples = [np.sort(values.dropna().to_numpy(np.float64)) for values in (ours, theirs)]
    points = np.concatenate(samples)
    below = [np.searchsorted(values, points, side="right") / len(values) for values in samples]
    return float(np.abs(below[0] - below[1]).max())


def _total_variation(ours: "pd.Series[str]", theirs: "pd.Series[str]") -> float:
    shares = [values.value_counts(normalize=True) for values in (ours, theirs)]
    return float(shares[0].sub(shares[1], fill_value=0).abs().sum() / 2)


def correlation_differences(real: RawTable, sample: pd.DataFrame) -> Numbers:
    """Absolute differences of the correlations of each pair of columns.

    Texts take a column of 0 and 1 a value; the target is one of them.

    Args:
        real: The real table.
        sample: Typed as `RawTable.rows`.

    Returns:
        One figure a pair, of shape (n_pairs,).
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


def transfer(real: RawTable, raw: pd.DataFrame, sample: pd.DataFrame) -> pd.DataFrame:
    """AUC on real rows of models that learnt from real and from synthetic ones.

    Args:
        real: The real table.
        raw: Its texts.
        sample: Texts of the sample.

    Returns:
        One row a contract, means over the same folds of real rows: `real` learnt from the
        other folds; `sample` from the sample, in whose making all folds had a part;
        `unseen` from a sample that was drawn from the other folds alone.
    """
    names = [contract.name for contract in real.contracts]
    figures: list[pd.DataFrame] = []
    for others, fold in _folds(real, FOLDS):
        learnt, tested = raw.iloc[others], raw.iloc[fold]
        unseen = draw_sample(RawTable(learnt, real.contracts), len(learnt), SEED)
        figures.append(
            pd.DataFrame(
                {
                    source: [auc(rows, tested, contract) for contract in real.contracts]
                    for source, rows in (("real", learnt), ("sample", sample), ("unseen", unseen))
                },
                index=names,
            )
        )
    return pd.concat(figures).groupby(level=0).mean().loc[names]


def _folds(real: RawTable, count: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    folds = StratifiedKFold(count, shuffle=True, random_state=SEED)
    return list(folds.split(real.rows, real.rows[real.target]))


def auc(learnt: pd.DataFrame, tested: pd.DataFrame, contract: Contract) -> float:
    """AUC on some raw rows of a model that learnt from others.

    Args:
        learnt: Texts, as `dataset.read_raw` returns them.
        tested: The same.
        contract: Which columns the model sees.
    """
    encoder = Encoder(contract)

    def matrix(raw: pd.DataFrame) -> xgb.DMatrix:
        rows = clean(raw, contract)
        return xgb.DMatrix(
            encoder.encode_frame(rows), rows[contract.target.name].to_numpy(), nthread=1
        )

    test = matrix(tested)
    model = xgb.train(_MODEL, matrix(learnt), num_boost_round=_TREES)
    return float(roc_auc_score(test.get_label(), model.predict(test)))


def identical_rows(real: RawTable, sample: pd.DataFrame) -> dict[str, int]:
    """Rows of the sample that equal a real one, by the columns compared.

    Args:
        real: The real table.
        sample: Typed as `RawTable.rows`.
    """
    return {
        what: int(real.keys(sample, names).isin(real.keys(real.rows, names)).sum())
        for what, names in real.compared_columns.items()
    }


def nearest(real: RawTable, rows: pd.DataFrame, others: pd.DataFrame, *, skip: int = 0) -> Numbers:
    """Distance of each row to the nearest of others.

    The distance is the mean over the columns but for the id: of a number the difference of
    ranks in the real table, from 0 to 1; of a text 0 when equal, else 1.

    Args:
        real: The real table.
        rows: Typed as `RawTable.rows`.
        others: The same.
        skip: Nearest ones to leave out; 1 when `rows` are among the `others`.

    Returns:
        Distances of shape (n_rows,).
    """
    search = NearestNeighbors(n_neighbors=1 + skip, metric="manhattan", n_jobs=1)
    search.fit(_positions(real, others))
    found: Numbers = search.kneighbors(_positions(real, rows))[0][:, skip]
    return found


def _positions(real: RawTable, rows: pd.DataFrame) -> Numbers:
    """Rows as points whose Manhattan distance is that of `nearest`."""
    axes: list[Numbers] = []
    for column in real.of_role("target", "category", "number"):
        values, theirs = rows[column.name], real.rows[column.name]
        if column.role == "number":
            ranks = theirs.dropna().sort_values().to_numpy(np.float64)
            sides = [np.searchsorted(ranks, values.to_numpy(), side=s) for s in ("left", "right")]
            axes.append((sides[0] + sides[1]) / 2 / len(ranks))
        else:
            # Rows with different texts differ in two of these axes.
            axes += [(values == text).to_numpy(np.float64) / 2 for text in theirs.unique()]
    width = len(real.of_role("target", "category", "number"))
    return np.column_stack(axes) / width


def remembered(real: RawTable, raw: pd.DataFrame) -> float:
    """Whether a sample remembers the single rows that it was drawn from.

    Args:
        real: The real table.
        raw: Its texts.

    Returns:
        Share of the rows drawn from one half of the real rows that are nearer to that half
        than to the other one: .5 remembers nothing, 1 copies.
    """
    shares = []
    for half, other in _folds(real, 2):
        drawn = real.parse(draw_sample(RawTable(raw.iloc[half], real.contracts), len(half), SEED))
        own, foreign = (nearest(real, drawn, real.rows.iloc[part]) for part in (half, other))
        shares.append(np.mean(own < foreign) + np.mean(own == foreign) / 2)
    return float(np.mean(shares))


def report(real: RawTable, raw: pd.DataFrame, sample: pd.DataFrame) -> Iterator[str]:
    """All figures, as lines of Markdown.

    Args:
        real: The real table.
        raw: Its texts.
        sample: Texts of the sample.
    """
    typed = real.parse(sample)
    learnt = transfer(real, raw, sample)
    yield f"AUC on real rows, mean of {FOLDS} folds (XGBoost, {_TREES} trees of depth 4, eta .05):"
    yield ""
    yield from _table(
        ("Contract", "learnt from real rows", "from the sample", "from a sample without the fold"),
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
                f"{remembered(real, raw):.3f}",
            ),
        ],
    )
    yield ""
    yield from _table(
        ("Column", "Measure", "Distance", "Unknown, real", "Unknown, sample"),
        [
            (
                f"`{_shortened(str(name))}`",
                str(row["measure"]),
                f"{row['distance']:.3f}",
                f"{row['real_missing']:.3f}",
                f"{row['sample_missing']:.3f}",
            )
            for name, row in distances(real, typed).iterrows()
        ],
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(map(str, cells))} |"


def _shortened(name: str) -> str:
    return name if len(name) <= _SHOWN else f"{name[:20]}...{name[-10:]}"


_SHOWN = 40


def main() -> None:
    """Entry point: `python -m notebooks.sample.judge_sample --real FILE`."""
    options = parser("judge_sample", __doc__)
    options.add_argument("--sample", type=Path, help="sample to judge (as the contracts name it)")
    arguments = options.parse_args()
    real = load(arguments.real, arguments.contract)
    sample = read_raw(arguments.sample or sample_path(real.contracts))
    for line in report(real, read_raw(arguments.real), sample):
        print(line)  # noqa: T201 - the figures are what it is run for


if __name__ == "__main__":
    try:
        main()
    except MlstackError as error:
        sys.exit(f"judge_sample: {error}")
