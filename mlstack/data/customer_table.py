"""Convert customers to a table, one column per feature in the contract's order, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mlstack.contract import (
    BooleanFeature,
    CategoryFeature,
    Contract,
    DateFeature,
    Feature,
    NumberFeature,
    Value,
)
from mlstack.contract.customer_schema import Customer


def customer_table(
    customers: Sequence[Mapping[str, Any]] | pd.DataFrame, contract: Contract
) -> pd.DataFrame:
    """Convert valid customers to columns of the same types as `dataset.clean`.

    Other fields are left out, and an absent feature counts as missing.

    Returns:
        The features, indexed as `customers`. Integers, ordinals and booleans (1 or 0) are int64
        (float64 if a value is missing), numbers float64, categories and dates text; a missing value
        is NaN in a number and None in a text.
    """
    names = list(contract.feature_names)
    if isinstance(customers, pd.DataFrame):
        given = customers.reindex(columns=names)
    else:
        given = pd.DataFrame(
            {name: pd.Series([c.get(name) for c in customers], dtype=object) for name in names}
        )
    columns = {}
    for feature in contract.features:
        values = given[feature.name]
        if isinstance(feature, CategoryFeature | DateFeature):
            columns[feature.name] = values.astype(object).where(values.notna(), None)
            continue
        numbers = pd.to_numeric(values).astype("float64")
        whole = not isinstance(feature, NumberFeature) and bool(numbers.notna().all())
        columns[feature.name] = numbers.astype("int64") if whole else numbers
    return pd.DataFrame(columns, index=given.index)


def table_customers(rows: pd.DataFrame, contract: Contract) -> list[Customer]:
    """Convert rows, as `customer_table` and `dataset.clean` return them, to customers."""
    names = contract.feature_names
    columns = [_values(feature, rows[feature.name]) for feature in contract.features]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(feature: Feature, column: pd.Series) -> list[Value | None]:
    values: list[Any] = column.tolist()
    if isinstance(feature, CategoryFeature | DateFeature):
        return values
    if isinstance(feature, NumberFeature):
        return [None if value != value else value for value in values]  # noqa: PLR0124 - NaN
    # pandas converts integers to floats in columns with missing values.
    kind = bool if isinstance(feature, BooleanFeature) else int
    return [None if value != value else kind(value) for value in values]  # noqa: PLR0124 - NaN
