"""Read figures from Prometheus' text format."""

from prometheus_client.parser import text_string_to_metric_families


def sample_sum(exposition: str, name: str, **labels: str) -> float:
    """Sum a metric's samples that have these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
