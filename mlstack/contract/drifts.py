"""Drifts: simulated changes in the business, from `<name>.drifts.yaml`.

A simulator with a drift sends customers as they would be after the change, so that monitoring and
reports have something to detect.
"""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from mlstack.contract.contract import Contract
from mlstack.contract.customer_schema import Customer, describe
from mlstack.contract.days import day_number, day_text, is_day
from mlstack.contract.features import (
    BooleanFeature,
    CategoryFeature,
    ChoiceFeature,
    DateFeature,
    Feature,
    Name,
    NumberFeature,
    Text,
    Value,
)
from mlstack.contract.strict_yaml import Location, StrictModel, YamlFile
from mlstack.errors import DriftError, echo, listing

Number = int | float
_UNION_MEMBERS = ("bool", "int", "float", "str", "constrained-int", "constrained-float")
_CHANGE_KINDS = ("add", "multiply", "clip", "replace", "fix")
_ALLOWED = {
    "integer": ("add", "multiply", "clip", "fix"),
    "number": ("add", "multiply", "clip", "fix"),
    "ordinal": ("add", "clip", "replace", "fix"),
    "category": ("replace", "fix"),
    "boolean": ("replace", "fix"),
    "date": ("add", "fix"),
}
"""Changes that suit each kind of feature."""


class Replacement(StrictModel):
    """Values to replace, and their replacement."""

    from_: tuple[Value, ...] = Field(alias="from", min_length=1, strict=False)
    to: Value


class Change(StrictModel):
    """One change to a feature, and its probability.

    A missing value stays missing, except with `fix`. The result stays in the feature's range.
    """

    add: Number | None = None
    """For numbers, ordinals and dates; an ordinal moves by that many levels, a date by days."""

    multiply: Annotated[Number, Field(ge=0)] | None = None
    """For numbers; whole numbers stay whole."""

    clip: tuple[Number, Number] | None = Field(default=None, strict=False)
    """For numbers and ordinals: the lowest and the highest value."""

    replace: Replacement | None = None
    """For categories, ordinals and booleans."""

    fix: Value | None = None
    """For any feature: the value that affected customers get."""

    chance: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Probability of the change for an affected customer."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in _CHANGE_KINDS) != 1:
            raise ValueError(f"needs one of {', '.join(_CHANGE_KINDS)}")
        return self

    @property
    def kind(self) -> str:
        """Name of the field that is set."""
        return next(kind for kind in _CHANGE_KINDS if getattr(self, kind) is not None)


class Drift(StrictModel):
    """A change in the business, as changes to features."""

    meaning: Text
    share: Annotated[float, Field(gt=0, le=1)]
    """Share of customers affected."""
    features: dict[Name, Change] = Field(min_length=1)


class _DriftFile(StrictModel):
    contract: Name
    drifts: dict[Name, Drift] = Field(min_length=1)


class DriftingCustomers:
    """Applies a drift to customers, which stay valid.

    Results are reproducible for a given seed.
    """

    def __init__(self, contract: Contract, drift: Drift, seed: int) -> None:
        self._drift = drift
        self._features = [f for f in contract.features if f.name in drift.features]
        self._random = random.Random(seed)  # noqa: S311 - simulation, no secret

    def apply(self, customers: Sequence[Customer]) -> list[Customer]:
        """Return changed copies of the customers, in the same order."""
        return [self._apply(customer) for customer in customers]

    def _apply(self, customer: Customer) -> Customer:
        changed = dict(customer)
        if self._random.random() < self._drift.share:
            for feature in self._features:
                change = self._drift.features[feature.name]
                if self._random.random() < change.chance:
                    changed[feature.name] = _changed(feature, change, changed[feature.name])
        return changed


def drifts_path(contract_path: Path) -> Path:
    """Return the path of a contract's drift file."""
    return contract_path.with_suffix(".drifts.yaml")


def load_drifts(contract: Contract, path: Path) -> Mapping[str, Drift]:
    """Read a contract's drifts, by name.

    Raises DriftError if the file is invalid or does not match the contract.
    """
    file = YamlFile.read(path, DriftError)
    content = file.validate(_DriftFile, _UNION_MEMBERS)
    if content.contract != contract.name:
        raise file.fault(
            ("contract",), f"these drifts are for another contract, not for {contract.name}"
        )
    features = {feature.name: feature for feature in contract.features}
    for name, drift in content.drifts.items():
        for feature_name, change in drift.features.items():
            location: Location = ("drifts", name, "features", feature_name)
            if feature_name not in features:
                known = listing(features)
                raise file.fault(
                    location, f"is not a feature of {contract.name}; choose from {known}"
                )
            if reason := _fault(features[feature_name], change):
                raise file.fault((*location, change.kind), reason)
    return content.drifts


def load_drift(contract: Contract, path: Path, name: str) -> Drift:
    """Read one drift of a contract.

    Raises DriftError as `load_drifts`, or if there is no such drift.
    """
    drifts = load_drifts(contract, path)
    if name not in drifts:
        known = listing(drifts)
        raise DriftError(path, None, f"there is no drift {name!r}; choose from {known}")
    return drifts[name]


def _fault(feature: Feature, change: Change) -> str | None:
    """Return why a change does not suit a feature, or None if it does."""
    allowed = _ALLOWED[feature.kind]
    if change.kind not in allowed:
        return f"a feature of kind {feature.kind} supports only {', '.join(allowed)}"
    whole = not isinstance(feature, NumberFeature)
    if whole and isinstance(change.add, float):
        return f"a feature of kind {feature.kind} requires a whole number"
    values: list[Value] = [] if change.fix is None else [change.fix]
    if change.clip is not None:
        values += change.clip
        if change.clip[0] > change.clip[1]:
            return f"the range is empty: {change.clip[0]} to {change.clip[1]}"
    if change.replace is not None:
        values += [*change.replace.from_, change.replace.to]
    for value in values:
        if not _is_value(feature, value):
            return f"{echo(value)} is not a value of the feature; it must be {describe(feature)}"
    return None


def _is_value(feature: Feature, value: Value) -> bool:
    if isinstance(feature, ChoiceFeature):
        # 1.0 equals level 1 but is not a level.
        return value in feature.values and type(value) is type(feature.values[0])
    if isinstance(feature, DateFeature):
        return is_day(value) and feature.range[0] <= value <= feature.range[1]
    if isinstance(value, bool | str):
        return False
    if isinstance(value, float) and feature.kind == "integer":
        return False
    return feature.range[0] <= value <= feature.range[1]


def _changed(feature: Feature, change: Change, value: Value | None) -> Value | None:
    if change.fix is not None:
        return change.fix
    if value is None:
        return None
    if change.replace is not None:
        return change.replace.to if value in change.replace.from_ else value
    if isinstance(feature, DateFeature):
        moved_to = day_number(str(value)) + int(change.add or 0)
        first, last = map(day_number, feature.range)
        return day_text(min(max(moved_to, first), last))
    assert not isinstance(value, str)  # noqa: S101 - `load_drifts` has checked it
    assert not isinstance(feature, CategoryFeature | BooleanFeature)  # noqa: S101 - the same
    if change.clip is not None:
        low, high = change.clip
    else:
        low, high = (0, len(feature.levels) - 1) if feature.kind == "ordinal" else feature.range
    moved = value + (change.add or 0)
    moved *= 1 if change.multiply is None else change.multiply
    held = min(max(moved, low), high)
    return held if isinstance(feature, NumberFeature) else round(held)
