"""Raw tables made from a contract."""

import random
from datetime import date

import pandas as pd

from mlstack.contract import ChoiceFeature, Contract, DateFeature, Feature, NumberFeature
from mlstack.contract.days import day_number, day_text


def raw_table(contract: Contract, rows: int, seed: int = 1) -> pd.DataFrame:
    """Make a valid raw table of texts, about a third positive, indexed from 1."""
    chance = random.Random(seed)
    columns = {
        feature.raw: [_raw_value(feature, chance) for _ in range(rows)]
        for feature in contract.features
    }
    target = contract.target
    columns[target.raw] = [chance.choice(target.raw_values[int(i % 3 == 0)]) for i in range(rows)]
    return pd.DataFrame(columns, index=range(1, rows + 1), dtype=str)


def _raw_value(feature: Feature, chance: random.Random) -> str:
    if isinstance(feature, ChoiceFeature):
        return chance.choice(list(feature.raw_values))
    if isinstance(feature, DateFeature):
        day = day_text(chance.randint(*map(day_number, feature.range)))
        return date.fromisoformat(day).strftime(feature.format or "%Y-%m-%d")
    low, high = feature.range
    if isinstance(feature, NumberFeature):
        return str(round(chance.uniform(low, high), 3))
    return str(chance.randint(int(low), int(high)))
