"""The table that `make demo-drift` prints."""

import re


def steps(shown: str) -> list[tuple[str, float, str]]:
    """Read the steps of the table: title, seconds after the start, and what was seen."""
    rows = re.findall(r"(?m)^ {3}(\S.*?) +(\d+\.\d) s +\d+\.\d s {3}(.+)$", shown)
    assert rows, shown
    return [(title, float(after), seen) for title, after, seen in rows]
