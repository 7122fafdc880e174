"""Read settings from the process environment and nowhere else.

The files `.env.embedded`, `.env.local` and `.env.cloud` define each environment;
`mlstack.environments` loads one of them into the process environment.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)
from pydantic_core import ErrorDetails

from mlstack.addresses import Addresses
from mlstack.errors import InvalidSettings, SettingsError, echo
from mlstack.pasted_text import plain_value
from mlstack.retention_periods import RetentionPeriods
from mlstack.run_ids import read_run
from mlstack.s3_address import S3Address, s3_only, s3_or_other
from mlstack.secret_files import read_secret, with_password

ROOT = Path(__file__).resolve().parent.parent

_TEXTS: tuple[Any, ...] = (
    *(str, Path, Path | None),
    *(S3Address | None, S3Address | Path | None),
)
"""Types of settings whose value is taken as it is."""

_MOST_MINUTES: Final = 525_600
"""A year."""

_StreamName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
_Url = Annotated[str, Field(pattern=r"^https?://[^/]")]
_MAIL: Final = r"[^@\s,{}<>]+@[^@\s,{}<>]+"

DEFAULT_TRAIN_LAG: Final = 4
DEFAULT_TRAIN_ENGINE: Final = "threads"


class Settings(Addresses, RetentionPeriods):
    """This project's settings; their upper-case names are the environment variables.

    boto3, MLflow and Prefect read their own (`AWS_*`, `MLFLOW_TRACKING_URI`, `PREFECT_API_URL`)
    from the same environment.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str = ""
    """MLflow run whose model to deploy, as `read_run` returns it; empty if none was chosen."""

    deployed_by: str = Field(default="", pattern=r"^([0-9A-Za-z][\[\]0-9A-Za-z:._-]{0,63})?$")
    """Who deploys, for the history; empty means the user of the process."""

    contract: Path = Path("contracts/credit_card_churn.yaml")
    """Dataset contract for training and simulators."""

    data_file: Annotated[S3Address | Path | None, BeforeValidator(s3_or_other)] = None
    """Raw training table: a file, a folder of Parquet files, or either in the environment's S3. If
    unset: the feature store's table, else the public file, else the synthetic sample."""

    state_dir: Path = Path(".embedded/state")
    """Folder of persistent files: deployment record, verified models, worker statements."""

    deployment_record: Annotated[S3Address | None, BeforeValidator(s3_only)] = None
    """Folder in S3 with the deployment record of several machines; if unset, the state folder has
    this machine's own."""

    feature_store_bucket: str = ""
    """S3 bucket of the training data; empty if none was chosen."""

    predictions_stream: _StreamName = "predictions"
    results_stream: _StreamName = "results"
    dead_letter_stream: _StreamName = "predictions-dead-letter"
    predictions_shards: int = Field(default=2, ge=1)

    stream_engine: Literal["polling", "kcl"] = "polling"
    """`polling` reads all shards in one instance; `kcl` shares them among instances."""

    stream_servers: int = Field(default=1, ge=1, le=64)
    """Number of stream servers; several are containers, which share the shards by `kcl`."""

    train_trials: int = Field(default=50, ge=1, le=10_000)
    """Number of models per search."""

    train_every_minutes: int = Field(default=180, ge=1, le=_MOST_MINUTES)
    """Period of the training schedule."""

    train_seed: int | None = Field(default=None, ge=0, lt=2**63)
    """Seed of the search; if unset, each search draws a new one and logs it in MLflow."""

    train_lag: int = Field(default=DEFAULT_TRAIN_LAG, ge=1, le=64)
    """The search proposes trial i by the results of trials up to i - lag, and trains at most as
    many at the same time."""

    train_engine: Literal["threads", "dask"] = DEFAULT_TRAIN_ENGINE
    """Where trials train: in threads of the search's process, or on the workers of a Dask
    cluster."""

    train_workers: int = Field(default=2, ge=0, le=64)
    """Number of Dask workers that the stack starts, with their scheduler; 0 if `DASK_SCHEDULER`
    runs elsewhere."""

    dask_scheduler: str = Field(
        default="tls://127.0.0.1:8786", pattern=r"^tls://[A-Za-z0-9_.-]+:[0-9]{1,5}$"
    )
    """Address of the Dask scheduler, `tls://HOST:PORT`."""

    dask_certificate: Path = Path(".secrets/dask/worker.pem")
    """PEM file with key and certificate of a member of the Dask cluster, and with its authority."""

    feedback_token_file: Path | None = None
    """File with the token for `/feedback` and the monitoring service's `/iterate`, required if
    other machines can reach them."""

    mongo_uri: str = Field(default="mongodb://127.0.0.1:27018", repr=False)
    """MongoDB URI of the prediction log; `load` adds the password from `MONGO_PASSWORD_FILE`."""

    mongo_password_file: Path | None = None
    """File with the password of the user in `MONGO_URI`; unset if the database needs none."""

    monitor_url: str = Field(default="", pattern=r"^(https?://[^/].*)?$")
    """URL of the monitoring service; empty if none runs."""

    prometheus_url: _Url = "http://127.0.0.1:9090"
    """URL of Prometheus, which is queried for alerts."""

    alertmanager_url: _Url = "http://127.0.0.1:9093"
    """URL of Alertmanager, which tells people about alerts."""

    alert_mail_to: str = Field(default="", pattern=rf"^({_MAIL}(\s*,\s*{_MAIL})*)?$")
    """Mail addresses that are told about alerts, separated by commas; empty if none are."""

    alert_mail_from: str = Field(default="", pattern=rf"^({_MAIL})?$")
    """Sender of these mails; empty for the first of `ALERT_MAIL_TO`."""

    alert_smtp_server: str = Field(default="", pattern=r"^([^\s:/@]+:[0-9]{1,5})?$")
    """SMTP server that takes these mails, as HOST:PORT."""

    alert_smtp_user: str = ""
    """User at the SMTP server, whose password is in `.secrets/`; empty if it asks for none."""

    alert_smtp_starttls: bool = True
    """Whether mails are only sent over a connection that the SMTP server encrypts."""

    stack_services: str = Field(default="", repr=False)
    """Services on the front page, one a line: its name, and pairs of a probe and its target (see
    `monitoring.evidently_service.stack_services`)."""

    stack_services_servers: str = Field(default="", repr=False)
    """Those that `docker-compose-servers.yml` adds."""

    stack_services_dask: str = Field(default="", repr=False)
    """Those that `docker-compose-dask.yml` adds."""

    monitor_window_rows: int = Field(default=1000, ge=30, le=100_000)
    """Number of most recent predictions that monitoring compares."""

    monitor_min_rows: int = Field(default=100, ge=30)
    """Minimum number of predictions for monitoring to report anything."""

    monitor_period_seconds: float = Field(default=15, ge=0.1, le=3600)
    """Seconds between two calculations of drift and quality."""

    report_time_window_minutes: int = Field(default=180, ge=1, le=_MOST_MINUTES)
    """Time window of a report, and period of the report schedule."""

    reports_dir: Path = Path(".embedded/reports")
    """Folder of the reports' HTML pages."""

    mlflow_backend_store_uri: str = Field(
        default="sqlite:///.embedded/mlflow/mlflow.db", repr=False
    )
    """Database URI as the tracking server gets it; empty if it is not accessible here."""

    prefect_server_database_connection_url: str = Field(default="", repr=False)
    """Database URL of Prefect's server; empty for the SQLite file in its folder."""

    extra_packages: str = Field(default="", pattern=r"^((dask|postgresql)( (dask|postgresql))*)?$")
    """Optional packages that are installed with the others, separated by spaces."""

    mlflow_artifacts_destination: str = ".embedded/mlflow/artifacts"
    """Where the tracking server stores models and plots: a folder or a URI."""

    prune_every_minutes: int = Field(default=1440, ge=1, le=_MOST_MINUTES)
    """Period of the retention schedule."""

    logs_dir: Path | None = None
    """Folder of the services' log files; unset if something else stores them."""

    api_servers: int = Field(default=1, ge=1, le=64)
    """Number of HTTP servers; several are containers behind a load balancer."""

    api_workers: int = Field(default=2, ge=1)
    """Worker processes of an HTTP server."""

    api_threads: int = Field(default=8, ge=1)
    """Concurrent requests per worker."""

    log_requests: bool = False
    """Log every request of the HTTP server, and not only errors and slow ones."""

    api_url: _Url = "http://127.0.0.1:9696"
    """URL at which simulators reach the HTTP server."""

    simulation_seconds: float = Field(default=60, gt=0, le=86_400)
    """Seconds between two batches that a simulator sends."""

    simulation_outcome_share: float = Field(default=0.5, ge=0, le=1)
    """Share of predictions whose outcome the simulators report."""

    simulation_outcome_seconds: float = Field(default=300, ge=0, le=86_400)
    """Seconds from a prediction to its outcome."""

    @field_validator("run_id")
    @classmethod
    def _check_run_id(cls, run_id: str) -> str:
        return read_run(run_id) if run_id else ""

    @classmethod
    def load(cls) -> Self:
        """Read the process environment; an empty variable counts as unset.

        Raises SettingsError if a variable has an invalid value.
        """
        names = {name: name.upper() for name in cls.model_fields}
        variables = {name: plain_text(key, os.environ.get(key, "")) for name, key in names.items()}
        try:
            settings = cls.model_validate({name: text for name, text in variables.items() if text})
        except ValidationError as error:
            raise InvalidSettings(
                {names[str(fault["loc"][0])]: _reason(fault) for fault in error.errors()}
            ) from error
        if settings.mongo_password_file is None:
            return settings
        password = read_secret("MONGO_PASSWORD_FILE", ROOT / settings.mongo_password_file)
        uri = with_password(settings.mongo_uri, password)
        return settings.model_copy(update={"mongo_uri": uri})

    @cached_property
    def contract_path(self) -> Path:
        """The contract's file; relative paths start at the project root."""
        return ROOT / self.contract

    @cached_property
    def state_path(self) -> Path:
        """The state folder; relative paths start at the project root."""
        return ROOT / self.state_dir

    @property
    def spool_path(self) -> Path:
        """The folder of the servers' spools."""
        return self.state_path / "spool"

    @property
    def quarantine_path(self) -> Path:
        """The folder of what can never be stored."""
        return self.state_path / "quarantine"

    @cached_property
    def reports_path(self) -> Path:
        """The reports' folder; relative paths start at the project root."""
        return ROOT / self.reports_dir

    @property
    def has_dask_cluster(self) -> bool:
        """Whether the stack starts a Dask cluster of its own."""
        return self.train_engine == "dask" and self.train_workers > 0

    @property
    def feedback_token(self) -> str:
        """Token for `/feedback` and `/iterate`; empty if only this machine can call them.

        Raises SettingsError if a token is required and cannot be read.
        """
        if not self.is_exposed:
            return ""
        if self.feedback_token_file is None:
            raise SettingsError(
                f"BIND_ADDRESS={self.bind_address}, PUBLIC_HOST={self.public_host}: other machines "
                "can reach /feedback and /iterate, so FEEDBACK_TOKEN_FILE must name a token's file"
            )
        return read_secret("FEEDBACK_TOKEN_FILE", ROOT / self.feedback_token_file)


def plain_text(key: str, text: str) -> str:
    """Return the value of a setting as every program reads it; of a text as it is."""
    field = Settings.model_fields.get(key.lower())
    return text if field is None or field.annotation in _TEXTS else plain_value(text)


def _reason(fault: ErrorDetails) -> str:
    key, given = str(fault["loc"][0]).upper(), fault["input"]
    reason = fault["msg"].removeprefix("Value error, ")
    if key == "RUN_ID":
        return f"{key}: {reason}"
    is_number = fault["type"].startswith(("int", "float"))
    hint = "; decimal numbers have a point, thousands no separator" if is_number else ""
    return f"{key}={echo(given)}: {reason}{hint if ',' in str(given) else ''}"
