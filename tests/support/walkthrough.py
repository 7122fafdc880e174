"""The commands that the documents give their readers."""

import re
from pathlib import Path

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands_of(document: Path) -> list[str]:
    """Commands of a Markdown document's `sh` blocks, in order."""
    return [
        line
        for block in _BLOCK.findall(document.read_text(encoding="utf-8"))
        for line in block.splitlines()
        if line and not line.startswith("#")
    ]
