"""Draft the target: what kind of question the table answers."""

from dataclasses import dataclass
from typing import Any

from mlstack.errors import DataError, DataFault
from operations.contract_draft.columns import Column
from operations.contract_draft.drafted import meaning_of, new_name
from operations.contract_draft.features import range_with_room

_MOST_CLASSES = 20
_FEWEST_ROWS = 10
_POSITIVE = ("1", "yes", "y", "true", "t", "positive", "pos", "bad", "default", "churned", "died")


@dataclass(frozen=True, slots=True)
class DraftedTarget:
    """A drafted target.

    Args:
        column: The column of the table.
        fields: The target as the contract has it.
        answer: Key of the prediction in an answer.
        notes: What a person has to decide.
    """

    column: Column
    fields: dict[str, Any]
    answer: str
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of the target."""
        return str(self.fields.get("kind", "binary"))


def draft_target(column: Column) -> DraftedTarget:
    """Draft the target from its column. Raises DataError if nothing can be learnt from it."""
    texts, numbers = column.texts, column.range
    if len(texts) < 2:  # noqa: PLR2004 - nothing to tell apart
        raise _unfit(column, "has fewer than two values, so there is nothing to learn")
    name, meaning = new_name(column.name, (), "target"), meaning_of(column.name)
    fields: dict[str, Any] = {"name": name, "raw": column.name}
    if len(texts) == 2:  # noqa: PLR2004 - two classes are binary
        positive, negative = _classes(column)
        fields |= {"positive": positive, "negative": negative}
        fields["meaning"] = f"{meaning}: {positive}"
        notes = (f"is {positive!r} the class whose probability you want to know?",)
        return DraftedTarget(column, fields, f"{name} chance", notes)
    if numbers and (not numbers.whole or numbers.distinct > _MOST_CLASSES):
        bounds = range_with_room(numbers.low, numbers.high, whole=numbers.whole)
        fields = {**fields, "kind": "regression", "range": bounds, "meaning": meaning}
        return DraftedTarget(column, fields, f"predicted {name}"[:63])
    kept = {text: text for text in sorted(texts) if texts[text] >= _FEWEST_ROWS}
    if len(texts) > _MOST_CLASSES and not numbers:
        raise _unfit(
            column, f"has {column.distinct:,} different texts, too many for classes to be learnt"
        )
    return _multiclass(column, fields, kept, meaning)


def _multiclass(
    column: Column, fields: dict[str, Any], kept: dict[str, str], meaning: str
) -> DraftedTarget:
    notes: tuple[str, ...] = ()
    if column.range:
        notes = (f"are its {len(column.texts)} numbers classes, or quantities (kind: regression)?",)
    rare = sorted(column.texts.keys() - kept.keys())
    if len(kept) < 3:  # noqa: PLR2004 - fewer are binary
        raise _unfit(column, f"has fewer than three classes with {_FEWEST_ROWS} rows or more")
    fields = {**fields, "kind": "multiclass", "classes": [*kept]}
    fields["raw_values"] = kept
    if rare:
        fields["ignored"] = rare
        notes = (*notes, f"rows of {len(rare)} classes with few rows are left out")
    fields["meaning"] = meaning
    return DraftedTarget(column, fields, f"predicted {fields['name']}"[:63], notes)


def _classes(column: Column) -> tuple[str, str]:
    """Guess the positive class: it says yes, or is the rarer one."""
    frequent, rarer = column.texts
    for one, other in ((frequent, rarer), (rarer, frequent)):
        if one.casefold() in _POSITIVE and other.casefold() not in _POSITIVE:
            return one, other
    return rarer, frequent


def _unfit(column: Column, reason: str) -> DataError:
    return DataError(DataFault(reason, column=column.name))
