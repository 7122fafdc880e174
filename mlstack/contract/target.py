"""The target of a contract: what a model predicts, and what becomes known of a customer later."""

from collections.abc import Mapping
from functools import cached_property
from itertools import chain
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from mlstack.contract.features import Name, Text
from mlstack.contract.strict_yaml import StrictModel
from mlstack.errors import echo

Texts = Annotated[tuple[Text, ...], Field(strict=False)]

_OneOrMore = Annotated[
    Annotated[Text, Tag("one")] | Annotated[Texts, Field(min_length=1), Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "one"),
]
TARGET_TAGS = ("one", "several")
"""What pydantic puts among the keys when it names a place in a target."""


class BinaryTarget(StrictModel):
    """A target with two classes: 1 for the positive class, 0 for the negative."""

    name: Name
    raw: Text
    positive: _OneOrMore
    """Raw value of the positive class, or several."""
    negative: _OneOrMore
    ignored: Texts = ()
    """Raw values whose rows are left out, and counted."""
    meaning: Text

    @cached_property
    def raw_values(self) -> Mapping[int, tuple[str, ...]]:
        """The raw values of each class, positive first."""
        return {1: _several(self.positive), 0: _several(self.negative)}

    @property
    def digest_document(self) -> dict[str, Any]:
        """What a contract's digest covers; what is not set is left out."""
        document = self.model_dump(mode="json")
        return document if self.ignored else _without(document, "ignored")

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        seen = set[str]()
        for text in chain(*self.raw_values.values(), self.ignored):
            if text in seen:
                raise ValueError(f"{echo(text)} appears twice among the values of the target")
            seen.add(text)
        return self


Target = BinaryTarget


def _several(texts: str | tuple[str, ...]) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else texts


def _without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}
