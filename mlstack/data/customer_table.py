"""Convert customers to a table: one column per feature, in the contract's order."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mlstack.contract import CategoryFeature, Contract, DateFeature, NumberFeature


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
