"""What a draft says about one column."""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from mlstack.contract.prediction_fields import RESERVED_NAMES
from operations.contract_draft.columns import Column

_LONGEST = 63
_LETTERS = str.maketrans({"'": "", "ß": "ss", "æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O", "ł": "l"})


@dataclass(frozen=True, slots=True)
class Drafted:
    """A drafted feature, or a column that is left out.

    Args:
        column: The column of the table.
        fields: The feature's fields beside name, raw, missing and meaning; empty if left out.
        notes: What a person has to decide.
        missing_values: Texts of the column that mean 'missing'.
    """

    column: Column
    fields: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    missing_values: tuple[str, ...] = ()

    @property
    def is_feature(self) -> bool:
        """Whether the column becomes a feature."""
        return bool(self.fields)

    def without(self, note: str) -> "Drafted":
        """Leave the column out, for a reason."""
        return Drafted(self.column, notes=(note,))


def words_of(name: str) -> list[str]:
    """Split the name of a column into words in lower case."""
    parts = re.findall(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+[a-z]*", name)
    return [part.lower() for part in parts]


def new_name(raw: str, taken: Collection[str], default: str = "column") -> str:
    """Make a name of the contract from the name of a column."""
    letters = unicodedata.normalize("NFKD", raw.translate(_LETTERS))
    name = "_".join(words_of(letters.encode("ascii", "ignore").decode())) or default
    if not name[0].isalpha():
        name = f"{default}_{name}"
    name = name[: _LONGEST - 6].strip("_")
    if name in RESERVED_NAMES:
        name = f"{name}_value"
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    return unique


def meaning_of(raw: str) -> str:
    """Turn the name of a column into words for people."""
    text = " ".join(raw.replace("_", " ").replace(".", " ").split())
    return text[:1].upper() + text[1:]
