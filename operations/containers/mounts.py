"""Find configuration that containers cannot read.

Public images run as users of their own, to whom a checkout made under a strict umask is closed.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mlstack.settings import ROOT

_SHOWN = 3


def mounts_fault(services: Mapping[str, Any], root: Path = ROOT) -> str | None:
    """Return which mounted files others cannot read, and what to do; None if they can."""
    closed = sorted({path for source in _sources(services, root) for path in _closed(source)})
    if not closed:
        return None
    shown = ", ".join(str(path.relative_to(root)) for path in closed[:_SHOWN])
    more = f" and {len(closed) - _SHOWN} more" if len(closed) > _SHOWN else ""
    folders = " ".join(sorted({path.relative_to(root).parts[0] for path in closed}))
    return (
        f"containers cannot read {shown}{more}, because the project was checked out under a strict "
        f"umask: chmod -R go+rX {folders}"
    )


def _sources(services: Mapping[str, Any], root: Path) -> Iterator[Path]:
    """Yield what is mounted from the checkout, except for secrets, which only ours may read."""
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = Path(volume.get("source", ""))
            is_inside = volume.get("type") == "bind" and source.is_relative_to(root)
            if is_inside and not source.relative_to(root).parts[0].startswith("."):
                yield source


def _closed(source: Path) -> Iterable[Path]:
    paths = [source, *source.rglob("*")] if source.is_dir() else [source]
    return (path for path in paths if path.exists() and not _is_open(path))


def _is_open(path: Path) -> bool:
    wanted = 0o005 if path.is_dir() else 0o004
    return path.stat().st_mode & wanted == wanted
