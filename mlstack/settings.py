"""Settings, read from the process environment and nowhere else.

What differs between environments is in `.env.embedded`, `.env.local` and `.env.cloud`;
`mlstack.environments` loads one of them into the process environment.
"""

import os
import re
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mlstack.errors import SettingsError
from mlstack.secret_files import read_secret

ROOT = Path(__file__).resolve().parent.parent

RUN_ID_PATTERN = "^[0-9a-f]{32}$"
"""Regular expression for the id of an MLflow run."""

NO_RUN_ID = "is not a run id: copy one from MLflow (32 digits and letters a to f)"
"""Ends the message about a text that `is_run_id` refuses."""

_Port = Annotated[int, Field(ge=1, le=65535)]
_Url = Annotated[str, Field(pattern=r"^https?://[^/]")]


def is_run_id(value: Any) -> bool:
    """Return whether a value has the form of an MLflow run id."""
    return isinstance(value, str) and re.fullmatch(RUN_ID_PATTERN, value) is not None


class Settings(BaseModel):
    """This project's settings; each is the environment variable of the same name in capitals.

    boto3, MLflow and Prefect read their own (`AWS_*`, `MLFLOW_TRACKING_URI`,
    `PREFECT_API_URL`) from the same environment.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str = ""
    """MLflow run whose model to deploy; empty: none was chosen."""

    deployed_by: str = Field(default="", pattern=r"^([0-9A-Za-z][\[\]0-9A-Za-z:._-]{0,63})?$")
    """Who deploys, for the history; empty: the user that the process runs as."""

    contract: Path = Path("contracts/credit_card_churn.yaml")
    """Dataset contract for training and simulators."""

    data_file: Path | None = None
    """Raw training table; unset: the feature store's, else the public file, else the synthetic
    sample."""

    state_dir: Path = Path(".embedded/state")
    """Files that outlive a process: deployment record, verified models, worker statements."""

    feature_store_bucket: str = ""
    """S3 bucket of the training data; empty: none was chosen."""

    predictions_stream: str = "predictions"
    results_stream: str = "results"
    dead_letter_stream: str = "predictions-dead-letter"
    predictions_shards: int = Field(default=2, ge=1)

    stream_engine: Literal["polling", "kcl"] = "polling"
    """How the stream server reads: alone, or sharing the shards with others."""

    train_trials: int = Field(default=50, ge=1, le=10_000)
    """Models per search."""

    train_every_minutes: int = Field(default=180, ge=1)
    """Period of the training schedule."""

    train_seed: int | None = None
    """Seed of the search; unset: a new one for each search, logged in MLflow."""

    bind_address: str = "127.0.0.1"
    """Address that ports are published on."""

    listen_address: str = ""
    """Address that a process listens on; empty: `BIND_ADDRESS`. Containers listen everywhere, and
    the engine publishes their ports on `BIND_ADDRESS`."""

    public_host: str = "127.0.0.1"
    """Name or address by which people open the pages."""

    feedback_token_file: Path | None = None
    """File with the token that `/feedback` and the monitoring service's `/iterate` require when
    they can be reached from other machines."""

    api_port: _Port = 9696
    mlflow_port: _Port = 5051
    prefect_port: _Port = 4200
    aws_port: _Port = 4566
    mongo_port: _Port = 27018
    stream_metrics_port: _Port = 9697
    evidently_port: _Port = 8085
    prometheus_port: _Port = 9090
    reports_port: _Port = 8888

    mongo_uri: str = Field(default="mongodb://127.0.0.1:27018", repr=False)
    """Database of the predictions; `load` adds the password of `MONGO_PASSWORD_FILE`."""

    mongo_password_file: Path | None = None
    """File with the password of the user in `MONGO_URI`; unset: the database needs none."""

    monitor_url: str = ""
    """Address of the monitoring service; empty: none runs."""

    prometheus_url: _Url = "http://127.0.0.1:9090"
    """Address of Prometheus, which is asked for its alerts."""

    monitor_window_rows: int = Field(default=1000, ge=30, le=100_000)
    """Number of newest predictions that monitoring compares."""

    monitor_min_rows: int = Field(default=100, ge=30)
    """With fewer predictions, monitoring reports nothing."""

    monitor_period_seconds: float = Field(default=15, ge=0.1, le=3600)
    """Period of calculating drift and quality."""

    report_time_window_minutes: int = Field(default=180, ge=1, le=525_600)
    """Time window of a report, and period of the reporting schedule."""

    reports_dir: Path = Path(".embedded/reports")
    """Folder of the reports' pages."""

    mlflow_backend_store_uri: str = "sqlite:///.embedded/mlflow/mlflow.db"
    """The tracking server's database, as the server gets it; empty: out of reach."""

    mlflow_artifacts_destination: str = ".embedded/mlflow/artifacts"
    """Where the tracking server stores models and plots: a folder or an address."""

    keep_runs_days: float = Field(default=30, gt=0)
    """Retention of searches in MLflow and local copies of models; runs that are deployed or have
    an alias are kept."""

    keep_deleted_days: float = Field(default=7, ge=0)
    """How long deleted runs can be restored in MLflow."""

    keep_deployed_models: int = Field(default=5, ge=1)
    """Number of earlier deployments kept for `make rollback`, regardless of age."""

    keep_predictions_days: float = Field(default=30, gt=0)
    """Retention of predictions and outcomes in MongoDB."""

    keep_reports_days: float = Field(default=30, gt=0)
    """Retention of reports: pages and documents."""

    keep_history_days: int = Field(default=14, ge=1)
    """Retention of Prefect's history: flow runs, their logs and events."""

    keep_logs_days: float = Field(default=14, gt=0)
    """Retention of rotated log files and of files left by killed servers."""

    prune_every_minutes: int = Field(default=1440, ge=1)
    """Period of the retention schedule."""

    logs_dir: Path | None = None
    """Folder of the services' log files; unset: something else keeps them."""

    api_workers: int = Field(default=2, ge=1)
    """Worker processes of the HTTP server."""

    api_threads: int = Field(default=8, ge=1)
    """Concurrent requests per worker."""

    api_url: _Url = "http://127.0.0.1:9696"
    """Address at which simulators reach the HTTP server."""

    simulation_seconds: float = Field(default=60, gt=0, le=86_400)
    """Seconds between two batches of a simulator."""

    simulation_outcome_share: float = Field(default=0.5, ge=0, le=1)
    """Share of predictions whose outcome the simulators report."""

    simulation_outcome_seconds: float = Field(default=300, ge=0, le=86_400)
    """Seconds from a prediction to its outcome."""

    @field_validator("run_id")
    @classmethod
    def _check_run_id(cls, run_id: str) -> str:
        if run_id and not is_run_id(run_id):
            raise ValueError(NO_RUN_ID)
        return run_id

    @classmethod
    def load(cls) -> Self:
        """Read the process environment; an empty variable counts as unset.

        Raises:
            SettingsError: A variable has an invalid value.
        """
        variables = {name: os.environ.get(name.upper(), "") for name in cls.model_fields}
        try:
            settings = cls.model_validate({name: text for name, text in variables.items() if text})
        except ValidationError as error:
            faults = "; ".join(
                f"{str(fault['loc'][0]).upper()}={fault['input']!r}: {fault['msg']}"
                for fault in error.errors()
            )
            raise SettingsError(f"settings: {faults}") from error
        if settings.mongo_password_file is None:
            return settings
        password = read_secret("MONGO_PASSWORD_FILE", ROOT / settings.mongo_password_file)
        uri = _with_password(settings.mongo_uri, password)
        return settings.model_copy(update={"mongo_uri": uri})

    @cached_property
    def contract_path(self) -> Path:
        """The contract's file; relative names start at the project's root."""
        return ROOT / self.contract

    @cached_property
    def state_path(self) -> Path:
        """The state folder; relative names start at the project's root."""
        return ROOT / self.state_dir

    @cached_property
    def reports_path(self) -> Path:
        """The reports' folder; relative names start at the project's root."""
        return ROOT / self.reports_dir

    @property
    def listens_on(self) -> str:
        """Address that this project's processes listen on."""
        return self.listen_address or self.bind_address

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach the published ports."""
        return not (_is_loopback(self.bind_address) and _is_loopback(self.public_host))

    @property
    def feedback_token(self) -> str:
        """Token that `/feedback` and `/iterate` require; empty: none, only this machine calls.

        Raises:
            SettingsError: A token is required and cannot be read.
        """
        if not self.is_exposed:
            return ""
        if self.feedback_token_file is None:
            raise SettingsError(
                f"BIND_ADDRESS={self.bind_address}, PUBLIC_HOST={self.public_host}: other machines "
                "reach /feedback and /iterate, so FEEDBACK_TOKEN_FILE must name a token's file"
            )
        return read_secret("FEEDBACK_TOKEN_FILE", ROOT / self.feedback_token_file)

    @property
    def mlflow_url(self) -> str:
        """Where people open MLflow."""
        return self._page(self.mlflow_port, "mlflow")

    @property
    def prefect_url(self) -> str:
        """Where people open Prefect."""
        return self._page(self.prefect_port, "prefect")

    @property
    def monitor_page(self) -> str:
        """Where people open the monitoring service."""
        return self._page(self.evidently_port)

    @property
    def prometheus_page(self) -> str:
        """Where people open Prometheus."""
        return self._page(self.prometheus_port)

    @property
    def reports_url(self) -> str:
        """Where people open the reports."""
        return self._page(self.reports_port, "reports")

    def _page(self, port: int, subdomain: str = "") -> str:
        """Return a page's address; `subdomain` is its name at the proxy, empty if it has none."""
        if not _is_loopback(self.bind_address) or _is_loopback(self.public_host):
            return f"http://{self.public_host}:{port}"
        # Only the proxy is open to others.
        return (
            f"https://{subdomain}.{self.public_host}" if subdomain else f"http://127.0.0.1:{port}"
        )


def _with_password(uri: str, password: str) -> str:
    """Return an address of MongoDB with the password of the user that it names."""
    user, at, rest = uri.partition("@")
    if not at or user.count(":") != 1:
        raise SettingsError(
            "MONGO_PASSWORD_FILE needs a MONGO_URI that names a user and no password: "
            "mongodb://USER@HOST:PORT/?authSource=admin"
        )
    return f"{user}:{quote(password, safe='')}@{rest}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
