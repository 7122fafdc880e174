"""Raw tables made from a contract."""

import random
from datetime import date

import pandas as pd

from mlstack.contract import ChoiceFeature, Contract, DateFeature, Feature, NumberFeature
from mlstack.contract.days import day_number, day_text
from mlstack.contract.target import BinaryTarget, RegressionTarget, Target


def raw_table(contract: Contract, rows: int, seed: int = 1) -> pd.DataFrame:
    """Make a valid raw table of texts, about a third positive, indexed from 1."""
    chance = random.Random(seed)
    columns = {
        feature.raw: [_raw_value(feature, chance) for _ in range(rows)]
        for feature in contract.features
    }
    target = contract.target
    columns[target.raw] = [_raw_outcome(target, i, chance) for i in range(rows)]
    return pd.DataFrame(columns, index=range(1, rows + 1), dtype=str)


def _raw_outcome(target: Target, row: int, chance: random.Random) -> str:
    if isinstance(target, RegressionTarget):
        return str(round(chance.uniform(*target.range), 3))
    texts = list(target.class_texts.values())
    # Of two classes the first, positive, is a third.
    place = row % 3 > 0 if isinstance(target, BinaryTarget) else row % len(texts)
    return chance.choice(texts[place])


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
