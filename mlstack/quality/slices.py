"""Figures of the contract's slices: groups of customers that are measured separately."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.contract import ChoiceFeature, Contract
from mlstack.contract.prediction_fields import PREDICTION, TARGET
from mlstack.contract.slices import MISSING
from mlstack.contract.target import MulticlassTarget
from mlstack.quality.results import MIN_SLICE, SliceFigures
from mlstack.quality.targets import estimate, measure


class SliceRows(NamedTuple):
    """The rows of a slice, as a mask of shape (n_rows,)."""

    feature: str
    label: str
    rows: NDArray[np.bool_]


def slice_rows(contract: Contract, rows: pd.DataFrame) -> Iterator[SliceRows]:
    """Yield the contract's slices of a table whose features are as `customer_table` returns them.

    Customers without a value are a slice of their own if the contract allows them.
    """
    features = {feature.name: feature for feature in contract.features}
    for each in contract.slices:
        feature, values = features[each.feature], rows[each.feature]
        if isinstance(feature, ChoiceFeature):
            groups = [(values == value).to_numpy(bool) for value in feature.table_values]
        else:
            places = np.searchsorted(each.cuts, values.to_numpy("float64"), side="right")
            given = values.notna().to_numpy()
            groups = [(places == place) & given for place in range(len(each.cuts) + 1)]
        for label, group in zip(each.labels(feature), groups, strict=True):
            yield SliceRows(feature.name, label, group)
        if feature.may_be_missing:
            yield SliceRows(feature.name, MISSING, values.isna().to_numpy())


def measure_slices(
    contract: Contract, rows: pd.DataFrame, reference: pd.DataFrame
) -> tuple[SliceFigures, ...]:
    """Measure every slice of recent predictions that has a customer there or in the reference.

    Both tables have the features and the columns of `outcome_table`.
    """
    slices = zip(slice_rows(contract, rows), slice_rows(contract, reference), strict=True)
    return tuple(
        _figures(contract, now, before, rows[now.rows], reference[before.rows])
        for now, before in slices
        if now.rows.any() or before.rows.any()
    )


def _figures(
    contract: Contract,
    now: SliceRows,
    before: SliceRows,
    rows: pd.DataFrame,
    reference: pd.DataFrame,
) -> SliceFigures:
    target, enough = contract.target, len(rows) >= MIN_SLICE
    has_mean = not isinstance(target, MulticlassTarget)

    def mean(side: pd.DataFrame) -> float | None:
        return float(side[PREDICTION].mean()) if has_mean and len(side) >= MIN_SLICE else None

    return SliceFigures(
        feature=now.feature,
        label=now.label,
        customers=len(rows),
        share=float(now.rows.mean()),
        reference_share=float(before.rows.mean()),
        outcomes=int(rows[TARGET].notna().sum()),
        mean=mean(rows),
        reference_mean=mean(reference),
        quality=measure(rows, target),
        estimated=estimate(rows, len(rows), target) if enough else None,
    )
