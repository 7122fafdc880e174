"""The dataset contract: what a customer is, read from one strict YAML file.

Everything that has to know a column (clean-up, request validation, encoder, simulators,
API schema, monitoring) derives it from here.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mlstack.errors import ContractError

Value = int | float | str
"""A feature's value as a request carries it."""

# Names are keys of JSON and BSON documents, labels of metrics and parts of file names.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Text = Annotated[str, Field(min_length=1)]


_Location = tuple[str | int, ...]


class _FaultAt(ValueError):
    """A fault that a check across several nodes found at one of them."""

    def __init__(self, location: _Location, reason: str) -> None:
        self.location = location
        super().__init__(reason)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _FeatureBase(_Strict):
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
        _check_range(self.name, self.range, self.example)
        return self


class NumberFeature(_FeatureBase):
    """A real number."""

    kind: Literal["number"]
    range: tuple[float, float] = Field(strict=False)
    example: float

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_range(self.name, self.range, self.example)
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


def _check_range(name: str, allowed: tuple[float, float], example: float) -> None:
    low, high = allowed
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


class PublicData(_Strict):
    """Where the real table is published, and by what it is recognised.

    Copies in the wild differ byte for byte, so it is checked by header and counts.
    """

    title: Text
    url: Annotated[str, Field(pattern=r"^https://")]
    rows: Annotated[int, Field(gt=0)]
    positives: Annotated[int, Field(gt=0)]


class Data(_Strict):
    """Where the raw table comes from and where the feature store keeps it."""

    key: Text
    """S3 key in the feature store's bucket."""
    sample: str | None = None
    """Synthetic raw table beside the code; simulated customers are drawn from it."""
    public: PublicData | None = None


class CleanUp(_Strict):
    """What happens to raw rows before they are validated."""

    void_row_values: tuple[str, ...] = Field(default=(), strict=False)
    """A row that holds one of these in a column in use is dropped."""
    missing_values: tuple[str, ...] = Field(default=(), strict=False)
    """Texts that mean 'missing', beside the empty one."""
    drop_columns: tuple[str, ...] = Field(default=(), strict=False)
    """Columns known to be of no use; a column that is in neither list is reported."""


class Split(_Strict):
    """Shares of the rows, stratified by the target."""

    train: Annotated[float, Field(gt=0)]
    validation: Annotated[float, Field(gt=0)]
    test: Annotated[float, Field(gt=0)]
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:  # noqa: PLR2004 - rounding of three decimal shares
            raise ValueError(f"the shares of the split add up to {total}, not to 1")
        return self


class Target(_Strict):
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


class Contract(_Strict):
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
    def _check_across_features(self) -> Self:
        names, raws = {self.target.name}, {self.target.raw}
        dropped = self.clean_up.drop_columns
        if self.target.raw in dropped:
            raise _FaultAt(("target", "raw"), "the target's raw column is dropped")
        for i, feature in enumerate(self.features):
            if self.target.name == feature.name or self.target.raw == feature.raw:
                raise _FaultAt(("features", i), f"the target is a feature: {feature.name!r}")
            if feature.name in names:
                raise _FaultAt(("features", i, "name"), f"{feature.name!r} stands twice")
            if feature.raw in raws:
                raise _FaultAt(("features", i, "raw"), f"{feature.raw!r} stands twice")
            if feature.raw in dropped:
                raise _FaultAt(("features", i, "raw"), f"{feature.raw!r} is a dropped column")
            names.add(feature.name)
            raws.add(feature.raw)
        both = set(self.clean_up.void_row_values) & set(self.clean_up.missing_values)
        if both:
            reason = f"{min(both)!r} both voids a row and is a missing value"
            raise _FaultAt(("clean_up", "missing_values"), reason)
        return self

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a contract.

        Raises:
            ContractError: the file breaks a rule; carries file, line and reason.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ContractError(path, None, f"can not be read: {error}") from error
        return cls.parse(text, path)

    @classmethod
    def parse(cls, text: str, path: Path | str = "contract") -> Self:
        """As `load`, for a contract's text; `path` is named in errors."""
        document, lines = _read_yaml(text, path)
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            fault = error.errors()[0]
            cause = fault.get("ctx", {}).get("error")
            at = cause.location if isinstance(cause, _FaultAt) else fault["loc"]
            location = tuple(part for part in at if part not in _KINDS)
            if fault["type"].startswith("union_tag"):
                location = (*location, "kind")
            where = ".".join(map(str, location))
            reason = fault["msg"].removeprefix("Value error, ")
            raise ContractError(
                path, _line_of(location, lines), f"{where}: {reason}" if where else reason
            ) from error

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


def _read_yaml(text: str, path: Path | str) -> tuple[Any, dict[_Location, int]]:
    """Parses YAML strictly: the document, and the 1-based line of each of its nodes."""
    lines: dict[_Location, int] = {}
    loader = yaml.SafeLoader(text)

    def build(node: yaml.Node, location: _Location) -> Any:
        lines[location] = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            return [build(item, (*location, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            mapping = {}
            for key_node, value_node in node.value:
                key = key_node.value
                if not isinstance(key, str):
                    raise ContractError(path, key_node.start_mark.line + 1, "a key is no text")
                if key in mapping:
                    raise ContractError(
                        path, key_node.start_mark.line + 1, f"key {key!r} stands twice"
                    )
                mapping[key] = build(value_node, (*location, key))
                lines[(*location, key)] = key_node.start_mark.line + 1
            return mapping
        return loader.construct_object(node)

    try:
        root = loader.get_single_node()
        return (None if root is None else build(root, ())), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise ContractError(
            path, mark.line + 1 if mark else None, f"is no YAML: {error.problem}"
        ) from error
    except yaml.YAMLError as error:
        raise ContractError(path, None, f"is no YAML: {error}") from error
    finally:
        loader.dispose()


def _line_of(location: _Location, lines: dict[_Location, int]) -> int | None:
    """Line of the nearest node at or above a location."""
    while location and location not in lines:
        location = location[:-1]
    return lines.get(location)
