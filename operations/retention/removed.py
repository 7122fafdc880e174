"""What a pruning has to say."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Removed:
    """One kind of thing that was looked through.

    Attributes:
        what: The kind, in the plural.
        count: How many were removed.
        kept_days: From which age on they are removed.
        freed: Bytes that this has freed on disk; None: not known.
    """

    what: str
    count: int
    kept_days: float
    freed: int | None = None

    def __str__(self) -> str:
        size = f", {self.freed / 1e6:,.1f} MB" if self.freed is not None else ""
        return f"{self.what:<44} {self.count:>8,} removed{size} (kept {self.kept_days:g} days)"
