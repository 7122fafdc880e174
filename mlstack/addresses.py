"""Where services listen, and at which URLs people open them."""

from ipaddress import ip_address
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_Port = Annotated[int, Field(ge=1, le=65535)]


class Addresses(BaseModel):
    """The settings of addresses and ports, a part of `Settings`."""

    model_config = ConfigDict(frozen=True)

    bind_address: str = "127.0.0.1"
    """Address on which ports are published."""

    listen_address: str = ""
    """Address on which processes listen; empty means `BIND_ADDRESS`. Containers listen on all
    addresses, and the container engine publishes their ports on `BIND_ADDRESS`."""

    public_host: str = "127.0.0.1"
    """Host name or address in the URLs of web pages."""

    api_port: _Port = 9696
    mlflow_port: _Port = 5051
    prefect_port: _Port = 4200
    aws_port: _Port = 4566
    mongo_port: _Port = 27018
    stream_metrics_port: _Port = 9697
    keeper_metrics_port: _Port = 9698
    evidently_port: _Port = 8085
    prometheus_port: _Port = 9090
    alertmanager_port: _Port = 9093
    reports_port: _Port = 8888
    grafana_port: _Port = 3000
    dask_dashboard_port: _Port = 8787

    @property
    def listens_on(self) -> str:
        """Address on which this project's processes listen."""
        return self.listen_address or self.bind_address

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach the published ports."""
        return not (_is_loopback(self.bind_address) and _is_loopback(self.public_host))

    @property
    def mlflow_url(self) -> str:
        """URL of the MLflow UI."""
        return self.page(self.mlflow_port, "mlflow")

    @property
    def prefect_url(self) -> str:
        """URL of the Prefect UI."""
        return self.page(self.prefect_port, "prefect")

    @property
    def monitor_page(self) -> str:
        """URL of the monitoring page."""
        return f"{self.front_page}/monitoring"

    @property
    def front_page(self) -> str:
        """URL of the front page, which the monitoring service serves."""
        return self.page(self.evidently_port)

    @property
    def prometheus_page(self) -> str:
        """URL of the Prometheus UI."""
        return self.page(self.prometheus_port)

    @property
    def alertmanager_page(self) -> str:
        """URL of the Alertmanager UI."""
        return self.page(self.alertmanager_port)

    @property
    def reports_url(self) -> str:
        """URL of the reports."""
        return self.page(self.reports_port, "reports")

    def page(self, port: int, subdomain: str | None = None) -> str:
        """Return the URL of a published port.

        `subdomain` is its name at the proxy, empty for the proxy's own name; None if it has none.
        """
        if not _is_loopback(self.bind_address) or _is_loopback(self.public_host):
            return f"http://{self.public_host}:{port}"
        # Only the proxy is reachable from other machines.
        if subdomain is None:
            return f"http://127.0.0.1:{port}"
        return f"https://{subdomain}{'.' if subdomain else ''}{self.public_host}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
