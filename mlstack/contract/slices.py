"""Slices: groups of customers whose figures are shown apart from those of all."""

from collections.abc import Sequence
from itertools import pairwise

from pydantic import Field

from mlstack.contract.features import ChoiceFeature, DateFeature, Feature, IntegerFeature, Name
from mlstack.contract.strict_yaml import FaultAt, StrictModel
from mlstack.errors import echo

MISSING = "not given"
"""Label of the customers without a value."""


class Slices(StrictModel):
    """Groups of customers by one feature, each with figures of its own in reports and model cards.

    A category, an ordinal or a boolean has a group for each value.
    """

    feature: Name
    """Name of the feature."""
    cuts: tuple[float, ...] = Field(default=(), strict=False)
    """For numbers: where a group ends and the next one begins, which includes the cut."""

    def labels(self, feature: Feature) -> tuple[str, ...]:
        """Return the labels of the groups, without that of missing values."""
        if isinstance(feature, ChoiceFeature):
            return feature.labels
        whole = isinstance(feature, IntegerFeature)
        between = (
            f"{low:,.15g} to {high - 1:,.15g}" if whole else f"{low:,.15g} to below {high:,.15g}"
            for low, high in pairwise(self.cuts)
        )
        return (f"below {self.cuts[0]:,.15g}", *between, f"{self.cuts[-1]:,.15g} or more")


def check_slices(slices: Sequence[Slices], features: Sequence[Feature]) -> None:
    """Check that each feature exists, is listed once, and has cuts if it is a number.

    Raises FaultAt with the place.
    """
    by_name, seen = {feature.name: feature for feature in features}, set[str]()
    for i, each in enumerate(slices):
        feature = by_name.get(each.feature)
        place = ("slices", i, "feature")
        if feature is None:
            raise FaultAt(place, f"{echo(each.feature)} is not among the features")
        if each.feature in seen:
            raise FaultAt(place, f"{each.feature!r} appears twice")
        seen.add(each.feature)
        if isinstance(feature, DateFeature):
            raise FaultAt(place, f"{each.feature!r} is a date, which has no slices")
        if reason := _fault(each.cuts, feature):
            raise FaultAt(("slices", i, "cuts"), reason)


def _fault(cuts: tuple[float, ...], feature: Feature) -> str | None:
    """Return why cuts do not suit a feature, or None if they do."""
    if isinstance(feature, ChoiceFeature | DateFeature):
        return "only numbers have cuts: each value is a slice" if cuts else None
    if not cuts:
        return f"{feature.name!r} is a number: list where its slices end, such as [40, 60]"
    if any(low >= high for low, high in pairwise(cuts)):
        return "must ascend"
    low, high = feature.range
    if not (low < cuts[0] and cuts[-1] <= high):
        return f"must be above {low:.15g}, the lowest allowed value, and at most {high:.15g}"
    if isinstance(feature, IntegerFeature) and any(cut != int(cut) for cut in cuts):
        return f"must be whole numbers, as {feature.name!r} is"
    return None
