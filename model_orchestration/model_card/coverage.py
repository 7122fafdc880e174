"""Describe what a model has learnt from, and what its test does not cover."""

from typing import Any, Final, NamedTuple

import pandas as pd

from mlstack.contract import ChoiceFeature, Contract, DateFeature, Feature
from mlstack.data.dataset import SplitRows
from mlstack.errors import listing
from mlstack.quality.results import MIN_SLICE, explain_outcomes
from model_orchestration.model_card.measured import Measured

_ENDS: Final = (0.005, 0.995)
"""Quantiles between which 99 % of the values are; the extremes may name somebody."""

_RARE: Final = 30
"""Number of training rows below which a value counts as rare: a leaf of a tree often has more."""


class Covered(NamedTuple):
    """What the contract allows of a feature, and what the training rows have."""

    feature: Feature
    allowed: str
    learnt: str
    missing: str


class CleanUp(NamedTuple):
    """What cleaning did to the raw table."""

    raw_rows: int
    notes: tuple[str, ...]


def covered(contract: Contract, train: pd.DataFrame) -> tuple[Covered, ...]:
    """Describe the training rows, feature by feature, without revealing a single row."""
    return tuple(_covered(feature, train[feature.name]) for feature in contract.features)


def _covered(feature: Feature, values: "pd.Series") -> Covered:
    missing = f"{values.isna().mean():.1%}" if feature.may_be_missing else "not allowed"
    if isinstance(feature, ChoiceFeature):
        shares = values.value_counts(normalize=True)
        each = zip(feature.labels, feature.table_values, strict=True)
        learnt = listing([f"{label} {shares.get(value, 0):.1%}" for label, value in each])
        return Covered(feature, listing(feature.labels), learnt, missing)
    given = values.dropna().sort_values()
    ends = (given.iloc[round(end * (len(given) - 1))] for end in _ENDS) if len(given) else None
    learnt = _span(feature, *ends) if ends else "-"
    return Covered(feature, _span(feature, *feature.range), learnt, missing)


def _span(feature: Feature, low: Any, high: Any) -> str:
    if isinstance(feature, DateFeature):
        return f"{low} to {high}"
    unit = f" {feature.unit}" if feature.unit else ""
    return f"{low:,.15g} to {high:,.15g}{unit}"


def limits(contract: Contract, parts: SplitRows, clean_up: CleanUp, found: Measured) -> list[str]:
    """List what the figures do not say, each in a sentence."""
    sentences = [
        _about_time(contract, parts),
        (
            "The intervals show how much the figures vary with the choice of test rows. They do "
            "not show what another training or another table would change."
        ),
    ]
    if few := explain_outcomes(len(parts.test)):
        sentences.append(f"The model was hardly tested: {few}.")
    left_out = clean_up.raw_rows - sum(map(len, parts))
    if left_out:
        sentences.append(
            f"{left_out:,} of {clean_up.raw_rows:,} raw rows were left out by the contract's "
            "clean-up. The model was neither trained nor tested on such customers."
        )
    sentences += [f"Of the raw table: {note}." for note in clean_up.notes]
    if found.small:
        sentences.append(
            f"Slices with fewer than {MIN_SLICE} test rows have no figures: {listing(found.small)}."
        )
    counts = _value_counts(contract, parts.train)
    if never := [value for value, count in counts.items() if count == 0]:
        sentences.append(f"No training row has {listing(never)}.")
    if rare := [f"{value} ({count})" for value, count in counts.items() if 0 < count < _RARE]:
        sentences.append(f"Few training rows have {listing(rare)}.")
    optional = [feature.name for feature in contract.features if feature.may_be_missing]
    if untested := [name for name in optional if parts.test[name].notna().all()]:
        sentences.append(f"No test row lacks {listing(untested)}, which requests may.")
    sentences.append(
        "Requests may have any value that the contract allows. Outside of what the training rows "
        "cover, the model was not tested."
    )
    return sentences


def _about_time(contract: Contract, parts: SplitRows) -> str:
    count = f"{len(parts.test):,} test rows"
    if contract.time is not None:
        return (
            f"The {count} are the newest of the table, by {contract.time.raw!r}. Later customers "
            "may differ from them: see the reports."
        )
    return (
        f"The {count} are a random part of the same table. How well the model predicts customers "
        "of a later time is not tested: see the reports."
    )


def _value_counts(contract: Contract, train: pd.DataFrame) -> dict[str, int]:
    """Count the training rows of each value that the contract lists."""
    found = dict[str, int]()
    for feature in contract.features:
        if isinstance(feature, ChoiceFeature):
            counts = train[feature.name].value_counts()
            found |= {
                f"{feature.name} {label}": int(counts.get(value, 0))
                for label, value in zip(feature.labels, feature.table_values, strict=True)
            }
    return found
