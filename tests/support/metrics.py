"""Read figures from Prometheus' text format."""

import re


def sample_sum(exposition: str, name: str, **labels: str) -> float:
    """Sum a metric's samples that have these labels."""
    total = 0.0
    for line in exposition.splitlines():
        match = re.fullmatch(r"([\w:]+)(?:\{(.*)\})? (\S+)", line)
        if match and match[1] == name:
            found = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
            if labels.items() <= found.items():
                total += float(match[3])
    return total
