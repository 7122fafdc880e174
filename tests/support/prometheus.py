"""Queries to a running Prometheus, as Grafana sends them."""

import time
from typing import Any

import requests


class Prometheus:
    """Client of a Prometheus.

    Args:
        url: Its address.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[Any]:
        """Ask for the series of a query, now."""
        return self._data("query", {"query": expression})

    def query_range(self, expression: str, seconds: int = 3600, step: int = 15) -> list[Any]:
        """Ask for the series of a query over the last hour."""
        now = time.time()
        span = {"start": str(now - seconds), "end": str(now), "step": str(step)}
        return self._data("query_range", {"query": expression, **span})

    def firing(self) -> set[str]:
        """List the alerts that fire."""
        alerts = self.query('ALERTS{alertstate="firing"}')
        return {str(alert["metric"]["alertname"]) for alert in alerts}

    def label_values(self, metric: str, label: str) -> list[str]:
        """List a label's values, as a dashboard's variable does."""
        answer = requests.get(
            f"{self._url}/api/v1/label/{label}/values", {"match[]": metric}, timeout=10
        )
        answer.raise_for_status()
        return list(answer.json()["data"])

    def _data(self, kind: str, parameters: dict[str, str]) -> list[Any]:
        answer = requests.post(f"{self._url}/api/v1/{kind}", parameters, timeout=10)
        assert answer.ok, f"{parameters}: {answer.text}"
        return list(answer.json()["data"]["result"])
