"""The dataset contract: one YAML file that describes a tabular data set.

Everything that depends on a column (cleaning, request validation, encoder, simulators, API schema,
monitoring) is derived from it.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from mlstack.contract.caller_key import CallerKey
from mlstack.contract.days import DateFormat
from mlstack.contract.features import FEATURE_KINDS, DateFeature, Feature, Name, Text, Value
from mlstack.contract.prediction_fields import (
    DECISION,
    EXPLANATION,
    PROBABILITIES,
    RESERVED_NAMES,
)
from mlstack.contract.slices import Slices, check_slices
from mlstack.contract.strict_yaml import FaultAt, StrictModel, YamlFile
from mlstack.contract.target import TARGET_TAGS, BinaryTarget, MulticlassTarget, Target
from mlstack.errors import ContractError, echo

_TAGS = (*FEATURE_KINDS, *TARGET_TAGS)


class PublicData(StrictModel):
    """Where the real table is published, and how to recognise it.

    Published copies differ byte for byte, so header and counts are checked, not a hash.
    """

    title: Text
    """Its name, for people."""
    url: Annotated[str, Field(pattern=r"^https://")]
    """Where it can be downloaded."""
    rows: Annotated[int, Field(gt=0)]
    """How many rows it has."""
    positives: Annotated[int, Field(gt=0)] | None = None
    """How many of them are of the positive class, if the target is binary."""


class Data(StrictModel):
    """Where the raw table comes from and where the feature store keeps it."""

    key: Text
    """S3 key in the feature store's bucket."""
    sample: str | None = None
    """Synthetic raw table in this repository, from which simulators draw customers."""
    public: PublicData | None = None
    """A published table, which is fetched if you give none."""


class CleanUp(StrictModel):
    """How raw rows are cleaned before validation."""

    void_row_values: tuple[str, ...] = Field(default=(), strict=False)
    """Values that cause a row to be dropped if they occur in a used column."""
    missing_values: tuple[str, ...] = Field(default=(), strict=False)
    """Values that mean 'missing', in addition to the empty string."""
    drop_columns: tuple[str, ...] = Field(default=(), strict=False)
    """Columns known to be useless; training warns about unused columns that are not listed here."""


class SplitShares(StrictModel):
    """Share of the rows for each use; the split is stratified by the target's classes."""

    train: Annotated[float, Field(gt=0)]
    """Share from which models learn."""
    validation: Annotated[float, Field(gt=0)]
    """Share by which the best model is chosen."""
    test: Annotated[float, Field(gt=0)]
    """Share on which the chosen model is measured."""
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    """Another seed splits in another way."""

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:  # noqa: PLR2004 - tolerance for rounding
            raise ValueError(f"the shares of the split add up to {total}, not to 1")
        return self


class RowTime(StrictModel):
    """The time of a row: the newest rows are kept for the test, and training sees only the past."""

    raw: Text
    """Column of the raw table; it may be that of a date among the features."""
    format: DateFormat | None = None
    """How cells write it; None means YYYY-MM-DD with or without a time of day, or numbers."""


class Contract(StrictModel):
    """One tabular data set."""

    name: Name
    """Name of the data set, of its models and of the file."""
    description: Text
    """What its models predict, for people."""
    answer: Annotated[Text, Field(max_length=1000)]
    """Key of the prediction in a response: a probability, a number or a class."""
    data: Data
    """Where the table is."""
    clean_up: CleanUp
    """What is left out of it, and which texts mean 'missing'."""
    split: SplitShares
    """How its rows are used."""
    target: Target
    """What is predicted."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Probability from which an answer's decision is true, if the target is binary."""
    key: CallerKey | None = None
    """The caller's own identifier of a customer."""
    time: RowTime | None = None
    """What the split goes by, instead of chance."""
    slices: tuple[Slices, ...] = Field(default=(), strict=False)
    """Groups of customers whose figures are shown apart."""
    features: tuple[Feature, ...] = Field(min_length=1, strict=False)
    """What it is predicted from."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        places = [(("target", "name"), self.target.name), (("answer",), self.answer)]
        places += [(("key", "name"), self.key.name)] if self.key else []
        features = enumerate(self.features)
        for place, name in [*places, *((("features", i, "name"), f.name) for i, f in features)]:
            if name in RESERVED_NAMES:
                raise FaultAt(place, f"{name!r} is a reserved name")
        taken = PROBABILITIES if isinstance(self.target, MulticlassTarget) else None
        if self.threshold is not None:
            if not isinstance(self.target, BinaryTarget):
                raise FaultAt(("threshold",), "only a binary target has a threshold")
            taken = DECISION
        for place, name in places[1:]:
            if name in (taken, EXPLANATION):
                raise FaultAt(place, f"{name!r} is another key of a response")
        return self

    @model_validator(mode="after")
    def _check_across_features(self) -> Self:
        names, raws = {self.target.name}, {self.target.raw}
        dropped = set(self.clean_up.drop_columns)
        if self.target.raw in dropped:
            raise FaultAt(("target", "raw"), "the target's raw column is dropped")
        for i, feature in enumerate(self.features):
            if self.target.name == feature.name or self.target.raw == feature.raw:
                raise FaultAt(("features", i), f"the target is a feature: {feature.name!r}")
            if feature.name in names:
                raise FaultAt(("features", i, "name"), f"{feature.name!r} appears twice")
            if feature.raw in raws:
                raise FaultAt(("features", i, "raw"), f"{echo(feature.raw)} appears twice")
            if feature.raw in dropped:
                raise FaultAt(("features", i, "raw"), f"{echo(feature.raw)} is a dropped column")
            names.add(feature.name)
            raws.add(feature.raw)
        both = set(self.clean_up.void_row_values) & set(self.clean_up.missing_values)
        if both:
            reason = f"{echo(min(both))} both voids a row and is a missing value"
            raise FaultAt(("clean_up", "missing_values"), reason)
        return self

    @model_validator(mode="after")
    def _check_slices(self) -> Self:
        check_slices(self.slices, self.features)
        return self

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        if self.key is None:
            return self
        answered = {self.answer, PROBABILITIES, DECISION}
        names = {*self.feature_names, self.target.name, *answered}
        if self.key.name in names:
            raise FaultAt(("key", "name"), f"{self.key.name!r} has another meaning already")
        if self.key.raw in {self.target.raw, *(feature.raw for feature in self.features)}:
            raise FaultAt(("key", "raw"), f"{echo(self.key.raw)} is a feature or the target")
        return self

    @model_validator(mode="after")
    def _check_time(self) -> Self:
        if self.time is not None:
            if self.time.raw == self.target.raw:
                raise FaultAt(("time", "raw"), f"{echo(self.time.raw)} is the target")
            if self.time.raw in self.clean_up.drop_columns:
                raise FaultAt(("time", "raw"), f"{echo(self.time.raw)} is a dropped column")
        return self

    @model_validator(mode="after")
    def _check_dates(self) -> Self:
        dates = {f.name: f for f in self.features if isinstance(f, DateFeature)}
        bases = {date.since for date in dates.values()}
        for i, feature in enumerate(self.features):
            if not isinstance(feature, DateFeature):
                continue
            if feature.since is None and feature.name not in bases:
                reason = (
                    f"a model would never see {feature.name!r}: name another date with since, "
                    "or in the since of another date"
                )
                raise FaultAt(("features", i, "name"), reason)
            base, passed = feature, {feature.name}
            while base.since is not None:
                if base.since not in dates:
                    reason = f"{echo(base.since)} is not a date among the features"
                    raise FaultAt(("features", i, "since"), reason)
                if base.since in passed:
                    reason = f"the days of {feature.name!r} are counted in a circle"
                    raise FaultAt(("features", i, "since"), reason)
                base = dates[base.since]
                passed.add(base.name)
        return self

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a contract from a file.

        Raises ContractError, with file, line and reason, if it is invalid.
        """
        return YamlFile.read(path, ContractError).validate(cls, _TAGS)

    @classmethod
    def parse(cls, text: str, path: Path | str = "contract") -> Self:
        """Parse a contract as `load` does; errors name `path`."""
        return YamlFile(text, path, ContractError).validate(cls, _TAGS)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that affects a model or the validity of a request.

        Descriptions, examples, data locations, key, threshold and slices are left out, and fields
        that are not set.
        """
        for_people = {"meaning", "unit", "example"}
        document = self.model_dump(
            mode="json",
            exclude_none=True,
            exclude={
                "description": True,
                "data": True,
                "key": True,
                "threshold": True,
                "slices": True,
                "target": True,
                "features": {"__all__": for_people},
            },
        )
        document["target"] = self.target.digest_document
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in the contract's order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def model_features(self) -> tuple[Feature, ...]:
        """The features that a model sees: all but dates that are only a base of others."""
        return tuple(
            f for f in self.features if not (isinstance(f, DateFeature) and f.since is None)
        )

    @cached_property
    def base_first(self) -> tuple[Feature, ...]:
        """The features, each date after the one that its days are counted from."""
        sinces = {f.name: f.since for f in self.features if isinstance(f, DateFeature)}

        def depth(name: str | None) -> int:
            return 0 if name is None else 1 + depth(sinces.get(name))

        return tuple(sorted(self.features, key=lambda feature: depth(feature.name)))

    @cached_property
    def example(self) -> Mapping[str, Value]:
        """A valid customer, made of the features' examples."""
        return {feature.name: feature.example for feature in self.features}


def contract_files(folder: Path) -> list[Path]:
    """List the contract files in a folder, without its drift files."""
    return [file for file in sorted(folder.glob("*.yaml")) if "." not in file.stem]
