"""A running Prometheus, as Grafana asks it."""

import time
from typing import Any

import requests


class Prometheus:
    """Asks by HTTP.

    Args:
        url: Its address.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[Any]:
        """Series that a query has now."""
        return self._data("query", {"query": expression})

    def query_range(self, expression: str, seconds: int = 3600, step: int = 15) -> list[Any]:
        """Series that a query has had for a while."""
        now = time.time()
        span = {"start": str(now - seconds), "end": str(now), "step": str(step)}
        return self._data("query_range", {"query": expression, **span})

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        alerts = self.query('ALERTS{alertstate="firing"}')
        return {str(alert["metric"]["alertname"]) for alert in alerts}

    def label_values(self, metric: str, label: str) -> list[str]:
        """As a dashboard's variable asks."""
        answer = requests.get(
            f"{self._url}/api/v1/label/{label}/values", {"match[]": metric}, timeout=10
        )
        answer.raise_for_status()
        return list(answer.json()["data"])

    def _data(self, kind: str, parameters: dict[str, str]) -> list[Any]:
        answer = requests.post(f"{self._url}/api/v1/{kind}", parameters, timeout=10)
        assert answer.ok, f"{parameters}: {answer.text}"
        return list(answer.json()["data"]["result"])
