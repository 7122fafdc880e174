"""Settings: read from the process environment, and nowhere else.

What differs between the environments stands in `.env.embedded`, `.env.local` and
`.env.cloud`; `mlstack.environments` brings the chosen one into the process environment.
"""

import os
import re
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mlstack.errors import SettingsError

ROOT = Path(__file__).resolve().parent.parent


NO_RUN_ID = "is no run id: copy one from MLflow (32 digits and letters a to f)"
"""What is said of a text that `is_run_id` does not take."""


def is_run_id(value: Any) -> bool:
    """Whether something has the form of a run's id."""
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32}", value) is not None


class Settings(BaseModel):
    """Every setting of our own; each is the environment variable of its name in capitals.

    boto3, MLflow and Prefect read theirs (`AWS_*`, `MLFLOW_TRACKING_URI`,
    `PREFECT_API_URL`) from the same environment by themselves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str = ""
    """MLflow run whose model people have decided to deploy; empty: none chosen."""

    deployed_by: str = Field(default="", pattern=r"^([0-9A-Za-z][\[\]0-9A-Za-z:._-]{0,63})?$")
    """Who deploys, for the history; empty: the user that the process runs as."""

    contract: Path = Path("contracts/credit_card_churn.yaml")
    """Dataset contract for training and simulators."""

    data_file: Path | None = None
    """Raw training table; unset: what the feature store has, else the public file, else the
    synthetic sample."""

    state_dir: Path = Path(".embedded/state")
    """What outlives a process: deployment record, verified models, worker statements."""

    feature_store_bucket: str = ""
    """S3 bucket of the training data; empty: none was chosen yet."""

    predictions_stream: str = "predictions"
    results_stream: str = "results"
    dead_letter_stream: str = "predictions-dead-letter"
    predictions_shards: int = Field(default=2, ge=1)

    stream_engine: Literal["polling", "kcl"] = "polling"
    """How the stream server reads: one instance by itself, or several that share the shards."""

    train_trials: int = Field(default=50, ge=1, le=10_000)
    """Models per search."""

    train_every_minutes: int = Field(default=180, ge=1)
    """Period of the training schedule."""

    train_seed: int | None = None
    """Seed of the search; unset: another one each time, noted in MLflow."""

    bind_address: str = "127.0.0.1"
    """Address that published ports listen on."""

    listen_address: str = ""
    """Where a process listens; empty: `BIND_ADDRESS`. In a container it is everywhere, and the
    engine publishes what of it `BIND_ADDRESS` says."""

    public_host: str = "127.0.0.1"
    """Name or address by which people open the pages."""

    feedback_token_file: Path | None = None
    """File of the token that `/feedback` and the monitoring service's `/iterate` want when others
    than this machine can reach them."""

    api_port: int = Field(default=9696, ge=1, le=65535)
    mlflow_port: int = Field(default=5051, ge=1, le=65535)
    prefect_port: int = Field(default=4200, ge=1, le=65535)
    aws_port: int = Field(default=4566, ge=1, le=65535)
    mongo_port: int = Field(default=27018, ge=1, le=65535)
    stream_metrics_port: int = Field(default=9697, ge=1, le=65535)
    evidently_port: int = Field(default=8085, ge=1, le=65535)
    prometheus_port: int = Field(default=9090, ge=1, le=65535)
    reports_port: int = Field(default=8888, ge=1, le=65535)

    mongo_uri: str = Field(default="mongodb://127.0.0.1:27018", repr=False)
    """Where predictions are kept for good; with the password of `MONGO_PASSWORD_FILE` in it."""

    mongo_password_file: Path | None = None
    """File of the password of the user that `MONGO_URI` names; unset: it needs none."""

    monitor_url: str = ""
    """The monitoring service; empty: none runs."""

    prometheus_url: str = Field(default="http://127.0.0.1:9090", pattern=r"^https?://[^/]")
    """Where Prometheus is asked for its alerts."""

    monitor_window_rows: int = Field(default=1000, ge=30, le=100_000)
    """Newest predictions that monitoring looks at."""

    monitor_min_rows: int = Field(default=100, ge=30)
    """With fewer of them it says nothing yet."""

    monitor_period_seconds: float = Field(default=15, ge=0.1, le=3600)
    """From one calculation of drift and quality to the next."""

    report_time_window_minutes: int = Field(default=180, ge=1, le=525_600)
    """Time window of a report, and period of the reporting schedule."""

    reports_dir: Path = Path(".embedded/reports")
    """Where the reports' pages are."""

    mlflow_backend_store_uri: str = "sqlite:///.embedded/mlflow/mlflow.db"
    """The tracking server's database, as it is given to the server; empty: not within reach."""

    mlflow_artifacts_destination: str = ".embedded/mlflow/artifacts"
    """Where the tracking server keeps models and plots: a folder, or an address."""

    keep_runs_days: float = Field(default=30, gt=0)
    """Searches in MLflow, and local copies of models; never what is deployed or has an alias."""

    keep_deleted_days: float = Field(default=7, ge=0)
    """What was deleted in MLflow, by people or by age, can be restored for so long."""

    keep_deployed_models: int = Field(default=5, ge=1)
    """So many models that were deployed before stay for `make rollback`, however old."""

    keep_predictions_days: float = Field(default=30, gt=0)
    """Predictions and their outcomes in MongoDB."""

    keep_reports_days: float = Field(default=30, gt=0)
    """Reports: their pages and documents."""

    keep_history_days: int = Field(default=14, ge=1)
    """Prefect's history: flow runs, their logs and events."""

    keep_logs_days: float = Field(default=14, gt=0)
    """Log files that were closed when they had grown large; what killed servers have left."""

    prune_every_minutes: int = Field(default=1440, ge=1)
    """Period of the schedule that removes what is too old."""

    logs_dir: Path | None = None
    """Folder of the services' log files; unset: something else keeps them."""

    api_workers: int = Field(default=2, ge=1)
    """Worker processes of the HTTP server."""

    api_threads: int = Field(default=8, ge=1)
    """Requests that each worker takes at a time."""

    api_url: str = Field(default="http://127.0.0.1:9696", pattern=r"^https?://[^/]")
    """Where simulators reach the HTTP server."""

    simulation_seconds: float = Field(default=60, gt=0, le=86_400)
    """From one batch of a simulator's to the next."""

    simulation_outcome_share: float = Field(default=0.5, ge=0, le=1)
    """Share of their predictions whose outcome the simulators report."""

    simulation_outcome_seconds: float = Field(default=300, ge=0, le=86_400)
    """From a prediction to its outcome."""

    @field_validator("run_id")
    @classmethod
    def _check_run_id(cls, run_id: str) -> str:
        if run_id and not is_run_id(run_id):
            raise ValueError(NO_RUN_ID)
        return run_id

    @classmethod
    def load(cls) -> Self:
        """Reads the process environment; an empty variable counts as unset.

        Raises:
            SettingsError: a variable has no usable value; names it and the reason.
        """
        values = {
            name: os.environ[name.upper()]
            for name in cls.model_fields
            if os.environ.get(name.upper(), "") != ""
        }
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            faults = "; ".join(
                f"{str(fault['loc'][0]).upper()}={fault['input']!r}: {fault['msg']}"
                for fault in error.errors()
            )
            raise SettingsError(f"settings: {faults}") from error
        if settings.mongo_password_file is None:
            return settings
        password = read_secret("MONGO_PASSWORD_FILE", settings.mongo_password_file)
        uri = _with_password(settings.mongo_uri, password)
        return settings.model_copy(update={"mongo_uri": uri})

    @property
    def listens_on(self) -> str:
        """Address that a process of ours listens on."""
        return self.listen_address or self.bind_address

    @property
    def is_exposed(self) -> bool:
        """Whether others than this machine can reach the published ports."""
        return not (_is_loopback(self.bind_address) and _is_loopback(self.public_host))

    @property
    def feedback_token(self) -> str:
        """What `/feedback` and `/iterate` want of callers; empty: nothing, all are on this machine.

        Raises:
            SettingsError: it wants one, and there is none to be read.
        """
        if not self.is_exposed:
            return ""
        if self.feedback_token_file is None:
            raise SettingsError(
                f"BIND_ADDRESS={self.bind_address}, PUBLIC_HOST={self.public_host}: others reach "
                "/feedback and /iterate, so FEEDBACK_TOKEN_FILE must name the file of its token"
            )
        return read_secret("FEEDBACK_TOKEN_FILE", self.feedback_token_file)

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

    def _page(self, port: int, name: str | None = None) -> str:
        """Address of pages; ports that are this machine's alone others reach by a proxy's names.

        Args:
            port: Where they are published.
            name: What the proxy calls them; None: it does not have them.
        """
        if not _is_loopback(self.bind_address) or _is_loopback(self.public_host):
            return f"http://{self.public_host}:{port}"
        return f"http://127.0.0.1:{port}" if name is None else f"https://{name}.{self.public_host}"

    @cached_property
    def contract_path(self) -> Path:
        """The contract's file; a relative name counts from the project's root."""
        return ROOT / self.contract

    @cached_property
    def state_path(self) -> Path:
        """The state folder; a relative name counts from the project's root."""
        return ROOT / self.state_dir

    @cached_property
    def reports_path(self) -> Path:
        """The reports' folder; a relative name counts from the project's root."""
        return ROOT / self.reports_dir


def read_secret(name: str, path: Path) -> str:
    """Reads a secret's file; a line break at its end is no part of it.

    Args:
        name: The setting that names the file.
        path: A relative one counts from the project's root.

    Raises:
        SettingsError: it cannot be read, or is empty. The secret is in no message.
    """
    try:
        secret = (ROOT / path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(f"{name}={path}: it cannot be read: {reason}") from error
    if not secret:
        raise SettingsError(f"{name}={path}: it is empty")
    return secret


def _with_password(uri: str, password: str) -> str:
    """Puts a password into an address that names a user.

    Raises:
        SettingsError: it names none, or has a password already.
    """
    user, at, rest = uri.partition("@")
    if not at or user.count(":") != 1:
        raise SettingsError(
            "MONGO_PASSWORD_FILE is the password of a user that MONGO_URI has to name, without "
            "a password: mongodb://USER@HOST:PORT/?authSource=admin"
        )
    return f"{user}:{quote(password, safe='')}@{rest}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
