"""The dataset contract: what a customer is, read from one strict YAML file.

Everything that has to know a column (clean-up, request validation, encoder, simulators,
API schema, monitoring) derives it from here.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mlstack.contract.strict_yaml import FaultAt, StrictModel, YamlFile
from mlstack.errors import ContractError

Value = int | float | str
"""A feature's value as a request carries it."""

# Names are keys of JSON and BSON documents, labels of metrics and parts of file names.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Text = Annotated[str, Field(min_length=1)]


_MOST_INTEGER = 2**53
"""Beyond it JSON and the model's floating-point numbers skip integers (RFC 8259, section 6)."""
_MOST_NUMBER = 3e38
"""Beyond it the single precision that models calculate in knows no number."""


class _FeatureBase(StrictModel):
    name: Name
    missing: Literal["refuse", "allow"]
    meaning: Text
    unit: Text | None = None
    raw: Text
    """Column of the raw table that the feature comes from."""

    @property
    def may_be_missing(self) -> bool:
        """Whether a request may leave it out or send null."""
        return self.missing == "allow"


class IntegerFeature(_FeatureBase):
    """A whole number; a whole float (50.0) is one, true is not."""

    kind: Literal["integer"]
    range: tuple[int, int] = Field(strict=False)
    example: int

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_range(self.name, self.range, self.example, _MOST_INTEGER)
        return self


class NumberFeature(_FeatureBase):
    """A real number."""

    kind: Literal["number"]
    range: tuple[float, float] = Field(strict=False)
    example: float

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_range(self.name, self.range, self.example, _MOST_NUMBER)
        return self


class CategoryFeature(_FeatureBase):
    """One of some texts without an order."""

    kind: Literal["category"]
    values: tuple[Annotated[Text, Field(pattern=r"^[^\[\]<]+$")], ...] = Field(strict=False)
    """They become part of column names, in which XGBoost takes no bracket and no '<'."""
    raw_values: dict[str, str]
    """Raw text -> one of the values."""
    example: str

    @property
    def labels(self) -> tuple[str, ...]:
        """What people are shown for each of `values`, in the same order."""
        return self.values

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_values(self.name, self.values, self.raw_values, self.example)
        return self


class OrdinalFeature(_FeatureBase):
    """An ordered category, carried as the position of its level from 0."""

    kind: Literal["ordinal"]
    levels: tuple[Text, ...] = Field(strict=False)
    raw_values: dict[str, int]
    """Raw text -> position of a level."""
    example: int

    @property
    def values(self) -> tuple[int, ...]:
        """Every value that a request may carry: the positions of the levels."""
        return tuple(range(len(self.levels)))

    @property
    def labels(self) -> tuple[str, ...]:
        """What people are shown for each of `values`, in the same order."""
        return self.levels

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.levels)) < len(self.levels):
            raise ValueError(f"the levels of {self.name!r} name one twice")
        _check_values(self.name, self.values, self.raw_values, self.example)
        return self


def _check_range(name: str, allowed: tuple[float, float], example: float, most: float) -> None:
    low, high = allowed
    if max(-low, high) > most:
        raise ValueError(f"the range of {name!r} goes beyond {most:.17g}, which cannot be kept")
    if not low < high:
        raise ValueError(f"the range of {name!r} is empty: {low} to {high}")
    if not low <= example <= high:
        raise ValueError(f"the example of {name!r} is outside of its range")


def _check_values(
    name: str, values: Sequence[Value], raw_values: Mapping[str, Value], example: Value
) -> None:
    if len(set(values)) < len(values):
        raise ValueError(f"the values of {name!r} name one twice")
    if len(values) < 2:  # noqa: PLR2004 - from a single value there is nothing to learn
        raise ValueError(f"{name!r} needs two values or more")
    for raw, value in raw_values.items():
        if value not in values:
            raise ValueError(f"raw value {raw!r} of {name!r} maps to unknown {value!r}")
    for value in values:
        if value not in raw_values.values():
            raise ValueError(f"no raw value of {name!r} maps to {value!r}")
    if example not in values:
        raise ValueError(f"the example of {name!r} is none of its values")


Feature = Annotated[
    IntegerFeature | NumberFeature | CategoryFeature | OrdinalFeature,
    Field(discriminator="kind"),
]
_KINDS = ("integer", "number", "category", "ordinal")


class PublicData(StrictModel):
    """Where the real table is published, and by what it is recognised.

    Copies in the wild differ byte for byte, so it is checked by header and counts.
    """

    title: Text
    url: Annotated[str, Field(pattern=r"^https://")]
    rows: Annotated[int, Field(gt=0)]
    positives: Annotated[int, Field(gt=0)]


class Data(StrictModel):
    """Where the raw table comes from and where the feature store keeps it."""

    key: Text
    """S3 key in the feature store's bucket."""
    sample: str | None = None
    """Synthetic raw table beside the code; simulated customers are drawn from it."""
    public: PublicData | None = None


class CleanUp(StrictModel):
    """What happens to raw rows before they are validated."""

    void_row_values: tuple[str, ...] = Field(default=(), strict=False)
    """A row that holds one of these in a column in use is dropped."""
    missing_values: tuple[str, ...] = Field(default=(), strict=False)
    """Texts that mean 'missing', beside the empty one."""
    drop_columns: tuple[str, ...] = Field(default=(), strict=False)
    """Columns known to be of no use; a column that is in neither list is reported."""


class Split(StrictModel):
    """Shares of the rows, stratified by the target."""

    train: Annotated[float, Field(gt=0)]
    validation: Annotated[float, Field(gt=0)]
    test: Annotated[float, Field(gt=0)]
    seed: Annotated[int, Field(ge=0, lt=2**63)]

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:  # noqa: PLR2004 - rounding of three decimal shares
            raise ValueError(f"the shares of the split add up to {total}, not to 1")
        return self


class Target(StrictModel):
    """What is predicted: 1 for the positive class."""

    name: Name
    raw: Text
    positive: Text
    negative: Text
    meaning: Text

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        if self.positive == self.negative:
            raise ValueError("positive and negative class of the target are the same")
        return self


RESERVED_NAMES = frozenset(
    {
        *("prediction", "prediction_id", "model_run_id", "contract", "source", "created_at"),
        *("shard_id", "sequence_number", "target", "target_at"),
    }
)
"""What else stands in an answer or a stored prediction: no feature, target or answer may be called
so."""


class Contract(StrictModel):
    """One tabular data set."""

    name: Name
    description: Text
    answer: Text
    """Key under which an answer carries the probability of the positive class."""
    data: Data
    clean_up: CleanUp
    split: Split
    target: Target
    features: tuple[Feature, ...] = Field(min_length=1, strict=False)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        places = [(("target", "name"), self.target.name), (("answer",), self.answer)]
        features = enumerate(self.features)
        for place, name in [*places, *((("features", i, "name"), f.name) for i, f in features)]:
            if name in RESERVED_NAMES:
                raise FaultAt(place, f"{name!r} is a reserved name")
        return self

    @model_validator(mode="after")
    def _check_across_features(self) -> Self:
        names, raws = {self.target.name}, {self.target.raw}
        dropped = self.clean_up.drop_columns
        if self.target.raw in dropped:
            raise FaultAt(("target", "raw"), "the target's raw column is dropped")
        for i, feature in enumerate(self.features):
            if self.target.name == feature.name or self.target.raw == feature.raw:
                raise FaultAt(("features", i), f"the target is a feature: {feature.name!r}")
            if feature.name in names:
                raise FaultAt(("features", i, "name"), f"{feature.name!r} appears twice")
            if feature.raw in raws:
                raise FaultAt(("features", i, "raw"), f"{feature.raw!r} appears twice")
            if feature.raw in dropped:
                raise FaultAt(("features", i, "raw"), f"{feature.raw!r} is a dropped column")
            names.add(feature.name)
            raws.add(feature.raw)
        both = set(self.clean_up.void_row_values) & set(self.clean_up.missing_values)
        if both:
            reason = f"{min(both)!r} both voids a row and is a missing value"
            raise FaultAt(("clean_up", "missing_values"), reason)
        return self

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a contract.

        Raises:
            ContractError: the file breaks a rule; carries file, line and reason.
        """
        return YamlFile.read(path, ContractError).validate(cls, _KINDS)

    @classmethod
    def parse(cls, text: str, path: Path | str = "contract") -> Self:
        """As `load`, for a contract's text; `path` is named in errors."""
        return YamlFile(text, path, ContractError).validate(cls, _KINDS)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides what a model learns and what a request may carry.

        Texts for people, examples and places of data are not part of it.
        """
        people = {"meaning", "unit", "example"}
        document = self.model_dump(
            mode="json",
            exclude={"description": True, "data": True, "features": {"__all__": people}},
        )
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in the contract's order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def example(self) -> Mapping[str, Value]:
        """A valid customer, made of the features' examples."""
        return {feature.name: feature.example for feature in self.features}
