"""The kinds of features in a contract."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mlstack.contract.days import DateFormat, Day
from mlstack.contract.strict_yaml import StrictModel
from mlstack.errors import echo

Value = bool | int | float | str
"""A feature's value in a request."""

# Names become keys of JSON and BSON documents, metric labels and parts of file names.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Text = Annotated[str, Field(min_length=1)]

_MAX_INTEGER = 2**53
"""JSON and floating-point numbers skip integers beyond this (RFC 8259, section 6)."""
_MAX_NUMBER = 3e38
"""Models calculate in single precision, which cannot represent larger numbers."""


class _FeatureBase(StrictModel):
    """What every feature has, beside its `kind`."""

    name: Name
    """Its key in a request."""
    missing: Literal["refuse", "allow"]
    """Whether rows and requests may lack the feature."""
    meaning: Text
    """What it says about a customer, for people."""
    unit: Text | None = None
    """Unit of the numbers, for people."""
    raw: str = ""
    """Column of the raw table; by default it has the feature's name."""

    @model_validator(mode="after")
    def _name_column(self) -> Self:
        fill(self, "raw", self.name)
        return self

    @property
    def may_be_missing(self) -> bool:
        """Whether a request may omit the feature or send null."""
        return self.missing == "allow"


class IntegerFeature(_FeatureBase):
    """A whole number. The float 50.0 is accepted, `true` is not."""

    kind: Literal["integer"]
    range: tuple[int, int] = Field(strict=False)
    """The lowest and the highest allowed value."""
    example: int
    """A typical value, which the form and the API's description show."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_range(self.name, self.range, self.example, _MAX_INTEGER)
        return self


class NumberFeature(_FeatureBase):
    """A real number."""

    kind: Literal["number"]
    range: tuple[float, float] = Field(strict=False)
    """The lowest and the highest allowed value."""
    example: float
    """A typical value, which the form and the API's description show."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_range(self.name, self.range, self.example, _MAX_NUMBER)
        return self


class CategoryFeature(_FeatureBase):
    """One of several unordered values."""

    kind: Literal["category"]
    values: tuple[Annotated[Text, Field(pattern=r"^[^\[\]<]+$")], ...] = Field(strict=False)
    """They become part of column names, where XGBoost rejects '[', ']' and '<'."""
    raw_values: dict[str, str] = Field(default_factory=dict)
    """Maps each raw value to one of `values`; by default each stands for itself."""
    other: str | None = None
    """The one of `values` that stands for every text that is not listed."""
    example: str
    """A typical value, which the form and the API's description show."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Display labels of `values`, in the same order."""
        return self.values

    @property
    def table_values(self) -> tuple[str, ...]:
        """`values` as tables hold them."""
        return self.values

    @model_validator(mode="after")
    def _check(self) -> Self:
        fill(self, "raw_values", {v: v for v in self.values if v != self.other})
        if self.other is not None and self.other not in self.values:
            raise ValueError(f"other of {self.name!r} is not one of its values: {echo(self.other)}")
        _check_values(self.name, self.values, self.raw_values, self.example, self.other)
        return self


class OrdinalFeature(_FeatureBase):
    """An ordered category; its value is the position of the level, from 0."""

    kind: Literal["ordinal"]
    levels: tuple[Text, ...] = Field(strict=False)
    """Labels of the levels, the lowest first."""
    raw_values: dict[str, int]
    """Maps each raw value to the position of a level."""
    example: int
    """A typical value, which the form and the API's description show."""

    @cached_property
    def values(self) -> tuple[int, ...]:
        """All values that a request may contain: the positions of the levels."""
        return tuple(range(len(self.levels)))

    @property
    def labels(self) -> tuple[str, ...]:
        """Display labels of `values`, in the same order."""
        return self.levels

    @property
    def table_values(self) -> tuple[int, ...]:
        """`values` as tables hold them."""
        return self.values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.levels)) < len(self.levels):
            raise ValueError(f"{self.name!r} lists a level twice")
        _check_values(self.name, self.values, self.raw_values, self.example)
        return self


class BooleanFeature(_FeatureBase):
    """Yes or no: JSON's true or false, 1 or 0 in tables."""

    kind: Literal["boolean"]
    raw_values: dict[str, bool] = Field(default_factory=dict)
    """Maps each raw value to true or false; by default `true` and `false` in three spellings."""
    example: bool
    """A typical value, which the form and the API's description show."""

    @property
    def values(self) -> tuple[bool, bool]:
        """Both values that a request may contain."""
        return (False, True)

    @property
    def labels(self) -> tuple[str, str]:
        """Display labels of `values`, in the same order."""
        return ("no", "yes")

    @property
    def table_values(self) -> tuple[int, int]:
        """`values` as tables hold them."""
        return (0, 1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        words = {"true": True, "false": False}
        spelled = (str.lower, str.capitalize, str.upper)
        fill(self, "raw_values", {spell(w): v for spell in spelled for w, v in words.items()})
        _check_values(self.name, self.values, self.raw_values, self.example)
        return self


class DateFeature(_FeatureBase):
    """A date, as the text YYYY-MM-DD.

    A model sees the days since another date of the same customer, which are negative before it. A
    date without `since` is only a base of others: it is no column of a model.
    """

    kind: Literal["date"]
    range: tuple[Day, Day] = Field(strict=False)
    """Bounds of the date itself, not of the days."""
    since: Name | None = None
    """Name of the date that days are counted from."""
    format: DateFormat | None = None
    """How raw cells write the date; None means YYYY-MM-DD, also with a time, which is left out."""
    example: Day
    """A typical value, which the form and the API's description show."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.range
        if not low < high:
            raise ValueError(f"the range of {self.name!r} is empty: {low} to {high}")
        if not low <= self.example <= high:
            raise ValueError(f"the example of {self.name!r} is outside its range")
        return self


ChoiceFeature = CategoryFeature | OrdinalFeature | BooleanFeature
"""Features whose values are listed."""

Feature = Annotated[
    IntegerFeature
    | NumberFeature
    | CategoryFeature
    | OrdinalFeature
    | BooleanFeature
    | DateFeature,
    Field(discriminator="kind"),
]
FEATURE_KINDS = ("integer", "number", "category", "ordinal", "boolean", "date")


def fill(model: StrictModel, field: str, default: Any) -> None:
    """Set a field that was left out, as if the contract had written it."""
    if not getattr(model, field):
        object.__setattr__(model, field, default)


def _check_range(name: str, allowed: tuple[float, float], example: float, limit: float) -> None:
    low, high = allowed
    if max(-low, high) > limit:
        raise ValueError(f"the range of {name!r} is beyond {limit:.17g}, the largest allowed value")
    if not low < high:
        raise ValueError(f"the range of {name!r} is empty: {low} to {high}")
    if not low <= example <= high:
        raise ValueError(f"the example of {name!r} is outside its range")


def _check_values(
    name: str,
    values: Sequence[Value],
    raw_values: Mapping[str, Value],
    example: Value,
    other: Value | None = None,
) -> None:
    known, mapped = set(values), set(raw_values.values())
    if len(known) < len(values):
        twice = next(value for value, count in Counter(values).items() if count > 1)
        raise ValueError(f"{name!r} lists a value twice: {echo(twice)}")
    if len(values) < 2:  # noqa: PLR2004 - a model learns nothing from a single value
        raise ValueError(f"{name!r} needs at least two values")
    for raw, value in raw_values.items():
        if value not in known:
            raise ValueError(
                f"raw value {echo(raw)} of {name!r} maps to {echo(value)}, "
                "which is not one of its values"
            )
    for value in values:
        if value not in mapped and value != other:
            raise ValueError(f"no raw value of {name!r} maps to {echo(value)}")
    if example not in known:
        raise ValueError(f"the example of {name!r} is not one of its values")
