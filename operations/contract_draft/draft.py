"""Draft a contract of a table: its features, its target, and what a person has to decide."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlstack.data.sql import literal
from mlstack.data.text_table import TextTable
from mlstack.errors import DataError, DataFault, listing
from operations.contract_draft.alone import Detector
from operations.contract_draft.columns import NOTHING, describe_columns
from operations.contract_draft.drafted import Drafted, meaning_of, new_name
from operations.contract_draft.drifts import draft_drifts
from operations.contract_draft.features import draft_feature, most_values
from operations.contract_draft.target import DraftedTarget, draft_target
from operations.contract_draft.yaml_text import block, comments, flow, scalar

_SPLIT = {"train": 0.6, "validation": 0.2, "test": 0.2, "seed": 1}
_LEAK = "predicts the target alone, as if it were known only afterwards"


@dataclass(frozen=True, slots=True)
class Draft:
    """A drafted contract.

    Args:
        contract: The contract as YAML.
        drifts: Its drifts as YAML.
        decisions: What a person has to decide, by column.
    """

    contract: str
    drifts: str
    decisions: tuple[tuple[str, str], ...]


def draft_contract(table: TextTable, target_column: str, name: str, origin: str) -> Draft:
    """Draft a contract of a table.

    `origin` is the table's name for people. Raises DataError if the table has no such column, or
    nothing to learn.
    """
    columns = describe_columns(table)
    column = next((each for each in columns if each.name == target_column), None)
    if column is None:
        known = listing([repr(each.name) for each in columns])
        raise DataError(DataFault(f"is not in the table, which has {known}", column=target_column))
    target = draft_target(column)
    most = most_values(columns)
    drafted = [draft_feature(each, most) for each in columns if each is not column]
    detector = Detector(table, target)
    drafted = [d.without(_LEAK) if d.is_feature and detector.predicts(d) else d for d in drafted]
    drafted = _count_dates(drafted)
    features = [d for d in drafted if d.is_feature]
    if not features:
        raise DataError(DataFault("no column is left that a model could learn from"))
    left_out = [(d.column.name, note) for d in drafted if not d.is_feature for note in d.notes]
    left_out += [(raw, f"holds values of the type {kind}") for raw, kind in table.unusable.items()]
    named = _named(features, target)
    decisions = [(column.name, note) for note in target.notes]
    decisions += [(d.column.name, note) for d in features for note in d.notes]
    lines = [
        f"# Drafted from {origin}. Comments beside lines are for you to decide.",
        *_head(name, origin, target),
        "",
        *_clean_up(_missing_values(table, target, features), left_out),
        "",
        f"split: {flow(_SPLIT, 0)}",
        "",
        "target:",
        *comments(_sentences(target.notes)),
        *block(target.fields),
        "",
        "features:",
        *_lines(named),
    ]
    contract = "\n".join(lines) + "\n"
    decisions += [(raw, f"left out: {reason}") for raw, reason in left_out]
    return Draft(contract, draft_drifts(name, named), tuple(decisions))


def _head(name: str, origin: str, target: DraftedTarget) -> list[str]:
    about = f"Predicts {meaning_of(target.column.name)} from {origin}."
    head = {"name": name, "description": about, "answer": target.answer}
    return [*block(head, 0), "", f"data: {flow({'key': f'{name}/table'}, 0)}"]


def _count_dates(drafted: list[Drafted]) -> list[Drafted]:
    """Count dates from the earliest one; a model learns nothing from a single date."""
    dates = [d for d in drafted if d.fields.get("kind") == "date"]
    if not dates:
        return drafted
    base = min(dates, key=lambda d: str(d.fields["example"]))

    def counted(date: Drafted) -> Drafted:
        if len(dates) == 1:
            return date.without("is a date without another one to count days from: is it the time?")
        if date is base:
            return replace(date, notes=(*date.notes, "is the date that others are counted from"))
        return replace(date, fields={"kind": "date", "since": base.column.name, **date.fields})

    return [counted(d) if d.fields.get("kind") == "date" else d for d in drafted]


def _named(features: Sequence[Drafted], target: DraftedTarget) -> dict[str, Drafted]:
    named: dict[str, Drafted] = {}
    for drafted in features:
        taken = {*named, str(target.fields["name"]), target.answer}
        named[new_name(drafted.column.name, taken)] = drafted
    return named


def _lines(named: dict[str, Drafted]) -> Iterator[str]:
    names = {drafted.column.name: name for name, drafted in named.items()}
    for name, drafted in named.items():
        yield from comments(_sentences(drafted.notes))
        fields: dict[str, Any] = {"name": name, **drafted.fields}
        if since := fields.get("since"):
            fields["since"] = names[since]
        has_gaps = drafted.column.missing or drafted.missing_values
        fields["missing"] = "allow" if has_gaps else "refuse"
        if drafted.column.name != name:
            fields["raw"] = drafted.column.name
        fields["meaning"] = meaning_of(drafted.column.name)
        yield f"  - {flow(fields, 4)}"


def _clean_up(missing_values: list[str], left_out: list[tuple[str, str]]) -> list[str]:
    if not (missing_values or left_out):
        return ["clean_up: {}"]
    lines = ["clean_up:"]
    if missing_values:
        lines += block({"missing_values": missing_values})
    if left_out:
        lines.append("  drop_columns:")
        for raw, reason in left_out:
            lines += comments(_sentences([reason]), 4)
            lines.append(f"    - {scalar(raw)}")
    return lines


def _missing_values(table: TextTable, target: DraftedTarget, features: list[Drafted]) -> list[str]:
    """List the texts that mean 'missing' in the columns in use."""
    named = ", ".join(map(literal, NOTHING[1:]))
    cells = [target.column.cell, *(d.column.cell for d in features if d.column.missing)]
    found = {*target.missing_values, *(text for d in features for text in d.missing_values)}
    for cell in cells:
        query = f"SELECT DISTINCT {cell} FROM cells WHERE {cell} IN ({named})"
        found |= {str(text) for (text,) in table.query(query)}
    return sorted(found)


def _sentences(notes: Sequence[str]) -> list[str]:
    return [f"{note[:1].upper()}{note[1:]}{'' if note.endswith('?') else '.'}" for note in notes]
