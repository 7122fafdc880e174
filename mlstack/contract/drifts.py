"""Drifts: ways in which a business may change, beside its contract in `<name>.drifts.yaml`.

A simulator that is told to drift sends customers as they would be after the change, so that
monitoring and reports have something to find.
"""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from mlstack.contract.contract import (
    CategoryFeature,
    Contract,
    Feature,
    Name,
    NumberFeature,
    OrdinalFeature,
    Text,
    Value,
)
from mlstack.contract.customer_schema import Customer, describe
from mlstack.contract.strict_yaml import Location, StrictModel, YamlFile
from mlstack.errors import DriftError

Number = int | float
_UNION_MEMBERS = ("int", "float", "str", "constrained-int", "constrained-float")


class Replacement(StrictModel):
    """Values that give way to another one."""

    from_: tuple[Value, ...] = Field(alias="from", min_length=1, strict=False)
    to: Value


class Change(StrictModel):
    """What happens to a feature: one of the five, and to how many of those who drift.

    What is missing stays missing, except by `fix`; the result is held to the feature's range.
    """

    add: Number | None = None
    """For numbers and ordinals: levels up, or down."""

    multiply: Annotated[Number, Field(ge=0)] | None = None
    """For numbers; whole ones stay whole."""

    clip: tuple[Number, Number] | None = Field(default=None, strict=False)
    """For numbers and ordinals: at least the first, at most the second."""

    replace: Replacement | None = None
    """For categories and ordinals."""

    fix: Value | None = None
    """For any feature: the same value for everyone."""

    chance: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Probability that it happens to a customer who drifts."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if len(self.kinds) != 1:
            raise ValueError("needs one of add, multiply, clip, replace, fix")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which of the five are given."""
        return tuple(
            kind
            for kind in ("add", "multiply", "clip", "replace", "fix")
            if getattr(self, kind) is not None
        )


class Drift(StrictModel):
    """A change of the business."""

    meaning: Text
    share: Annotated[float, Field(gt=0, le=1)]
    """Share of the customers that it is about."""
    features: dict[Name, Change] = Field(min_length=1)


class _Drifts(StrictModel):
    contract: Name
    drifts: dict[Name, Drift] = Field(min_length=1)


class DriftingCustomers:
    """Turns customers into those after a drift; each is valid by the contract.

    Args:
        contract: What a customer is.
        drift: What changes; its file was checked against the contract.
        seed: The same seed changes the same customers.
    """

    def __init__(self, contract: Contract, drift: Drift, seed: int) -> None:
        self._drift = drift
        self._features = [f for f in contract.features if f.name in drift.features]
        self._random = random.Random(seed)  # noqa: S311 - simulation, no secret

    def apply(self, customers: Sequence[Customer]) -> list[Customer]:
        """Returns the customers in the same order; those given stay as they are."""
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
    """The file of drifts that belongs to a contract's file."""
    return contract_path.with_suffix(".drifts.yaml")


def load_drifts(contract: Contract, path: Path) -> Mapping[str, Drift]:
    """Reads the drifts of a contract, by name.

    Raises:
        DriftError: the file breaks a rule, or does not fit the contract; carries file, line
            and reason.
    """
    file = YamlFile.read(path, DriftError)
    found = file.validate(_Drifts, _UNION_MEMBERS)
    if found.contract != contract.name:
        raise file.fault(("contract",), f"these are no drifts of {contract.name}")
    features = {feature.name: feature for feature in contract.features}
    for name, drift in found.drifts.items():
        for feature_name, change in drift.features.items():
            location: Location = ("drifts", name, "features", feature_name)
            if feature_name not in features:
                known = ", ".join(features)
                raise file.fault(location, f"is no feature of {contract.name}; there are {known}")
            if reason := _misfit(features[feature_name], change):
                raise file.fault((*location, change.kinds[0]), reason)
    return found.drifts


def load_drift(contract: Contract, path: Path, name: str) -> Drift:
    """Reads one drift of a contract.

    Raises:
        DriftError: as `load_drifts`, or there is no such drift.
    """
    drifts = load_drifts(contract, path)
    if name not in drifts:
        known = ", ".join(drifts)
        raise DriftError(path, None, f"there is no drift {name!r}; there are {known}")
    return drifts[name]


def _misfit(feature: Feature, change: Change) -> str | None:
    """Why a change cannot happen to a feature; None: it can."""
    (kind,) = change.kinds
    allowed: tuple[str, ...] = ("add", "multiply", "clip", "fix")
    if isinstance(feature, OrdinalFeature):
        allowed = ("add", "clip", "replace", "fix")
    elif isinstance(feature, CategoryFeature):
        allowed = ("replace", "fix")
    if kind not in allowed:
        return f"a feature of kind {feature.kind} takes one of {', '.join(allowed)}"
    whole = not isinstance(feature, NumberFeature)
    if whole and isinstance(change.add, float):
        return f"a feature of kind {feature.kind} takes a whole number"
    values: list[Value] = [] if change.fix is None else [change.fix]
    if change.clip is not None:
        values += change.clip
        if change.clip[0] > change.clip[1]:
            return f"the range is empty: {change.clip[0]} to {change.clip[1]}"
    if change.replace is not None:
        values += [*change.replace.from_, change.replace.to]
    for value in values:
        if not _is_value(feature, value):
            return f"{value!r} is no value of the feature; it must be {describe(feature)}"
    return None


def _is_value(feature: Feature, value: Value) -> bool:
    if isinstance(feature, CategoryFeature | OrdinalFeature):
        # As types too: 1.0 equals the level 1, and is none.
        return (type(value), value) in [(type(known), known) for known in feature.values]
    if isinstance(value, str) or (isinstance(value, float) and feature.kind == "integer"):
        return False
    return feature.range[0] <= value <= feature.range[1]


def _changed(feature: Feature, change: Change, value: Value | None) -> Value | None:
    if change.fix is not None:
        return change.fix
    if value is None:
        return None
    if change.replace is not None:
        return change.replace.to if value in change.replace.from_ else value
    assert not isinstance(value, str)  # noqa: S101 - for the type checker: no category from here
    assert not isinstance(feature, CategoryFeature)  # noqa: S101 - as above
    if change.clip is not None:
        low, high = change.clip
    else:
        low, high = (0, len(feature.levels) - 1) if feature.kind == "ordinal" else feature.range
    moved = value + (change.add or 0)
    moved *= 1 if change.multiply is None else change.multiply
    held = min(max(moved, low), high)
    return held if isinstance(feature, NumberFeature) else round(held)
