"""Draft the target: what kind of question the table answers."""

import math
from dataclasses import dataclass
from typing import Any

from mlstack.errors import DataError, DataFault
from operations.contract_draft.columns import Column
from operations.contract_draft.drafted import meaning_of, new_name
from operations.contract_draft.features import range_with_room

_MOST_CLASSES = 20
_FEWEST_ROWS = 10
_DEVIATIONS = (0.25, 0.5)
"""Thresholds of deviations as shares of the standard deviation."""
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
    def missing_values(self) -> tuple[str, ...]:
        """Texts of the column that mean 'missing'."""
        return self.column.odd_texts if self.kind == "regression" else ()

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
        return _binary(column, fields, meaning)
    if numbers and (not numbers.whole or numbers.distinct > _MOST_CLASSES):
        bounds = range_with_room(numbers.low, numbers.high, whole=numbers.whole)
        fields |= {"kind": "regression", "range": bounds}
        fields["deviations"] = [float(f"{numbers.spread * share:.2g}") for share in _DEVIATIONS]
        fields["meaning"] = meaning
        return DraftedTarget(column, fields, f"predicted {name}")
    kept = [text for text in texts if texts[text] >= _FEWEST_ROWS]
    if column.sampled or not 1 < len(kept) <= _MOST_CLASSES:
        raise _unfit(
            column,
            f"has {column.distinct:,} different texts, {len(kept):,} of them in {_FEWEST_ROWS} "
            f"rows or more; a target has numbers, or 2 to {_MOST_CLASSES} such classes",
        )
    if len(kept) == 2:  # noqa: PLR2004 - as above
        return _binary(column, fields, meaning)
    return _multiclass(column, fields, sorted(kept, key=_by_number), meaning)


def _binary(column: Column, fields: dict[str, Any], meaning: str) -> DraftedTarget:
    positive, negative, *rare = _classes(column)
    fields |= {"positive": positive, "negative": negative}
    notes = [f"is {positive!r} the class whose probability you want to know?"]
    if rare:
        fields["ignored"] = rare
        notes.append(_ignored_note(rare))
    fields["meaning"] = f"{meaning}: {positive}"
    return DraftedTarget(column, fields, f"{fields['name']} chance", tuple(notes))


def _multiclass(
    column: Column, fields: dict[str, Any], kept: list[str], meaning: str
) -> DraftedTarget:
    notes = []
    if column.range:
        notes.append(f"are its {len(kept)} numbers classes, or quantities (kind: regression)?")
    rare = sorted(column.texts.keys() - set(kept), key=_by_number)
    fields |= {"kind": "multiclass", "classes": kept}
    if rare:
        fields["ignored"] = rare
        notes.append(_ignored_note(rare))
    fields["meaning"] = meaning
    return DraftedTarget(column, fields, f"predicted {fields['name']}", tuple(notes))


def _ignored_note(rare: list[str]) -> str:
    return f"leaves out the rows of {len(rare):,} rare classes"


def _by_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


def _classes(column: Column) -> list[str]:
    """Put the positive class first: it says yes, or is the rarer one; rare others come last."""
    frequent, rarer, *rare = column.texts
    said = frequent.casefold() in _POSITIVE and rarer.casefold() not in _POSITIVE
    return [frequent, rarer, *rare] if said else [rarer, frequent, *rare]


def _unfit(column: Column, reason: str) -> DataError:
    return DataError(DataFault(reason, column=column.name))
