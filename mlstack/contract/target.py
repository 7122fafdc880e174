"""The kinds of targets: what a model predicts, and what becomes known of a customer later.

A kind decides here how its outcomes look in a table, in JSON and in storage.
`mlstack.model.targets` decides how it is learnt, `mlstack.quality.targets` how it is judged.
"""

from collections import Counter
from collections.abc import Mapping
from itertools import chain
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Discriminator, Field, Tag, model_validator

from mlstack.contract.features import Name, Text, fill
from mlstack.contract.strict_yaml import StrictModel
from mlstack.errors import echo, listing

Texts = Annotated[tuple[Text, ...], Field(strict=False)]

_OneOrMore = Annotated[
    Annotated[Text, Tag("one")] | Annotated[Texts, Field(min_length=1), Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "one"),
]

_MAX_NUMBER = 1e12
"""Squares of sums of larger numbers may overflow while a model is trained in single precision."""

_MAX_CLASSES = 100
"""Each round of training grows one tree per class."""

Outcome = int | float | str
"""What became of a customer, as it is stored: 1 or 0, a number, or a class."""


class Scored(NamedTuple):
    """What a model predicts for a customer.

    `prediction` is the probability of the positive class, a number or a class. `probabilities` are
    those of the contract's classes, in order; only a multiclass target has them.
    """

    prediction: float | str
    probabilities: tuple[float, ...] | None = None


class _TargetBase(StrictModel):
    """What every target has; without `kind` it is binary."""

    name: Name
    """Its key in a report of outcomes."""
    raw: str = ""
    """Column of the raw table; by default it has the target's name."""
    meaning: Text
    """What it says about a customer, for people."""

    @model_validator(mode="after")
    def _name_column(self) -> Self:
        fill(self, "raw", self.name)
        return self

    @property
    def digest_document(self) -> dict[str, Any]:
        """What a contract's digest covers: all that is set."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def reported(self, stored: Outcome) -> bool | float | str:
        """Convert a stored outcome to what a caller reports."""
        return stored


class BinaryTarget(_TargetBase):
    """A target with two classes: 1 for the positive class, 0 for the negative."""

    kind: Literal["binary"] = "binary"
    positive: _OneOrMore
    """Raw value of the positive class, or several."""
    negative: _OneOrMore
    """Raw value of the negative class, or several."""
    ignored: Texts = ()
    """Raw values whose rows are left out, and counted."""

    @property
    def class_texts(self) -> Mapping[int, tuple[str, ...]]:
        """The raw values of each class, positive first."""
        return {1: _several(self.positive), 0: _several(self.negative)}

    @property
    def outcome_schema(self) -> dict[str, Any]:
        """JSON schema of an outcome as a caller reports it."""
        return {"type": "boolean", "description": self.meaning}

    @property
    def wanted(self) -> str:
        """The allowed outcomes, to complete 'must be ...'."""
        return "true or false"

    def fault_code(self, _: Any) -> str:
        """Return the error code for a value that is no outcome."""
        return "wrong_type"

    @property
    def prediction_schema(self) -> dict[str, Any]:
        """JSON schema of a prediction."""
        about = f"Probability that this is true: {self.meaning}"
        return {"type": "number", "minimum": 0, "maximum": 1, "description": about}

    @property
    def margin_meaning(self) -> str:
        """What the sum of a model's trees is, to complete 'the margin is ...'."""
        return "the log-odds: the probability is 1 / (1 + exp(-margin))"

    def stored(self, reported: Any) -> Outcome:
        """Convert a valid outcome to what is stored."""
        return int(reported)

    def reported(self, stored: Outcome) -> bool | float | str:
        """Convert a stored outcome to what a caller reports."""
        return bool(stored)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_distinct(*chain(*self.class_texts.values()), *self.ignored)
        return self


class RegressionTarget(_TargetBase):
    """A number."""

    kind: Literal["regression"]
    range: tuple[float, float] = Field(strict=False)
    """The lowest and the highest allowed outcome."""
    unit: Text | None = None
    """Unit of the number, for people."""
    deviations: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(), strict=False, max_length=20
    )
    """Thresholds; the share of predictions that are off by more than each is a figure."""

    @property
    def digest_document(self) -> dict[str, Any]:
        """What a contract's digest covers: neither the unit nor figures that people look at."""
        return self.model_dump(mode="json", exclude={"unit", "deviations"})

    @property
    def outcome_schema(self) -> dict[str, Any]:
        """JSON schema of an outcome as a caller reports it."""
        low, high = self.range
        return {"type": "number", "minimum": low, "maximum": high, "description": self._about}

    @property
    def wanted(self) -> str:
        """The allowed outcomes, to complete 'must be ...'."""
        low, high = self.range
        return f"a number from {low:.15g} to {high:.15g}{self._in_unit}"

    def fault_code(self, value: Any) -> str:
        """Return the error code for a value that is no outcome."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return "out_of_range" if is_number else "wrong_type"

    @property
    def prediction_schema(self) -> dict[str, Any]:
        """JSON schema of a prediction."""
        return {"type": "number", "description": self._about}

    @property
    def margin_meaning(self) -> str:
        """What the sum of a model's trees is, to complete 'the margin is ...'."""
        return f"the prediction itself{self._in_unit}"

    @property
    def _in_unit(self) -> str:
        return f" ({self.unit})" if self.unit else ""

    @property
    def _about(self) -> str:
        return f"{self.meaning}{self._in_unit}"

    def stored(self, reported: Any) -> Outcome:
        """Convert a valid outcome to what is stored."""
        return float(reported)

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.range
        if not low < high:
            raise ValueError(f"the range of the target is empty: {low} to {high}")
        if max(-low, high) > _MAX_NUMBER:
            raise ValueError(
                f"the range of the target is beyond {_MAX_NUMBER:g}: choose a larger unit"
            )
        _check_distinct(*map(str, self.deviations))
        return self


class MulticlassTarget(_TargetBase):
    """One of three or more classes."""

    kind: Literal["multiclass"]
    classes: Texts = Field(min_length=3, max_length=_MAX_CLASSES)
    """Labels of the classes, in the order of stored probabilities."""
    raw_values: dict[str, str] = Field(default_factory=dict)
    """Maps each raw value to one of `classes`; by default each stands for itself."""
    ignored: Texts = ()
    """Raw values whose rows are left out, and counted."""

    @property
    def class_texts(self) -> Mapping[str, tuple[str, ...]]:
        """The raw values of each class."""
        texts = dict[str, list[str]]({label: [] for label in self.classes})
        for raw, label in self.raw_values.items():
            texts[label].append(raw)
        return {label: tuple(raw) for label, raw in texts.items()}

    @property
    def outcome_schema(self) -> dict[str, Any]:
        """JSON schema of an outcome as a caller reports it."""
        return {"type": "string", "enum": list(self.classes), "description": self.meaning}

    @property
    def wanted(self) -> str:
        """The allowed outcomes, to complete 'must be ...'."""
        return "one of " + listing([f'"{label}"' for label in self.classes])

    def fault_code(self, value: Any) -> str:
        """Return the error code for a value that is no outcome."""
        return "unknown_category" if isinstance(value, str) else "wrong_type"

    def __hash__(self) -> int:
        """Hash without the mapping, which has no hash."""
        return hash((self.name, self.classes))

    @property
    def prediction_schema(self) -> dict[str, Any]:
        """JSON schema of a prediction."""
        about = f"The most probable class: {self.meaning}"
        return {"type": "string", "enum": list(self.classes), "description": about}

    @property
    def margin_meaning(self) -> str:
        """What the sum of a model's trees is, to complete 'the margin is ...'."""
        return (
            "the score of the predicted class: a class's probability is exp(its score), divided by "
            "the sum over all classes"
        )

    def stored(self, reported: Any) -> Outcome:
        """Convert a valid outcome to what is stored."""
        return str(reported)

    @model_validator(mode="after")
    def _check(self) -> Self:
        fill(self, "raw_values", {label: label for label in self.classes})
        _check_distinct(*self.classes)
        _check_distinct(*self.raw_values, *self.ignored)
        mapped = set(self.raw_values.values())
        for label in sorted(mapped - set(self.classes)):
            raise ValueError(f"a raw value maps to {echo(label)}, which is not one of the classes")
        for label in self.classes:
            if label not in mapped:
                raise ValueError(f"no raw value maps to the class {echo(label)}")
        return self


ClassTarget = BinaryTarget | MulticlassTarget
"""Targets with classes, whose raw values the contract lists."""


def _kind(value: Any) -> str | None:
    # Contracts of earlier versions have no kind.
    kind = value.get("kind", "binary") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) else None


Target = Annotated[
    Annotated[BinaryTarget, Tag("binary")]
    | Annotated[RegressionTarget, Tag("regression")]
    | Annotated[MulticlassTarget, Tag("multiclass")],
    Discriminator(_kind),
]
TARGET_TAGS = ("one", "several", "binary", "regression", "multiclass")
"""What pydantic puts among the keys when it names a place in a target."""


def _several(texts: str | tuple[str, ...]) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else texts


def _check_distinct(*texts: str) -> None:
    for text, count in Counter(texts).items():
        if count > 1:
            raise ValueError(f"{echo(text)} appears twice in the target")
