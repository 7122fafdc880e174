"""Measure available memory, including the limits of control groups."""

from collections.abc import Iterator
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
# Version 2 has one hierarchy, which some systems mount together with those of version 1.
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_bytes(cgroups: Path = _CGROUPS, own: Path = _OWN) -> int:
    """Return the bytes available without swapping or exceeding a container's limit.

    `cgroups` is where control groups are mounted; the file `own` lists those of this process.
    """
    return min([psutil.virtual_memory().available, *_left_in_groups(cgroups, own)])


def _left_in_groups(cgroups: Path, own: Path) -> Iterator[int]:
    if not own.exists():
        return
    for line in own.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _left(cgroups, path, _V2)
        elif "memory" in controllers.split(","):
            yield from _left(cgroups / "memory", path, _V1)


def _left(hierarchy: Path, path: str, names: tuple[str, str, str]) -> Iterator[int]:
    """Yield what each limited group has left, from this process's up to the root."""
    group = hierarchy / path.strip("/")
    limit_name, usage_name, reclaimable_name = names
    # In a container the path may be the host's, of which only the root is visible.
    for folder in (group, *group.parents):
        if (folder / limit_name).exists():
            limit = (folder / limit_name).read_text().strip()
            if limit != "max":
                usage = int((folder / usage_name).read_text())
                # The file cache counts as used, but is freed when memory runs short.
                lines = map(str.split, (folder / "memory.stat").read_text().splitlines())
                statistics = {name: int(value) for name, value in lines}
                yield max(0, int(limit) - usage + statistics.get(reclaimable_name, 0))
        if folder == hierarchy:
            return
