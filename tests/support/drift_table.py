"""What `make demo-drift` shows, read as a person reads it."""

import re


def steps(shown: str) -> list[tuple[str, float, str]]:
    """The steps of its table: what was waited for, after how many seconds it came, what it was."""
    rows = re.findall(r"(?m)^ {3}(\S.*?) +(\d+\.\d) s +\d+\.\d s {3}(.+)$", shown)
    assert rows, shown
    return [(title, float(after), seen) for title, after, seen in rows]
