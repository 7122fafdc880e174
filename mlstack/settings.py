"""Settings: read from the process environment, and nowhere else.

What differs between the environments stands in `.env.embedded`, `.env.local` and
`.env.cloud`; `mlstack.environments` brings the chosen one into the process environment.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlstack.errors import SettingsError

ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseModel):
    """Every setting of our own; each is the environment variable of its name in capitals.

    boto3, MLflow and Prefect read theirs (`AWS_*`, `MLFLOW_TRACKING_URI`,
    `PREFECT_API_URL`) from the same environment by themselves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str = Field(default="", pattern=r"^([0-9a-f]{32})?$")
    """MLflow run whose model people have decided to deploy; empty: none chosen."""

    contract: Path = Path("contracts/credit_card_churn.yaml")
    """Dataset contract for training and simulators."""

    data_file: Path | None = None
    """Raw training table; unset: the public file, else the synthetic sample."""

    state_dir: Path = Path(".embedded/state")
    """What outlives a process: deployment record, verified models, worker statements."""

    feature_store_bucket: str = "feature-store"
    """S3 bucket of the training data."""

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

    api_port: int = Field(default=9696, ge=1, le=65535)
    mlflow_port: int = Field(default=5051, ge=1, le=65535)
    prefect_port: int = Field(default=4200, ge=1, le=65535)
    aws_port: int = Field(default=4566, ge=1, le=65535)
    mongo_port: int = Field(default=27018, ge=1, le=65535)
    stream_metrics_port: int = Field(default=9697, ge=1, le=65535)
    prometheus_port: int = Field(default=9090, ge=1, le=65535)

    mongo_uri: str = "mongodb://127.0.0.1:27018"
    """Where predictions are kept for good."""

    monitor_url: str = ""
    """The monitoring service; empty: none runs."""

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
            return cls.model_validate(values)
        except ValidationError as error:
            faults = "; ".join(
                f"{str(fault['loc'][0]).upper()}={fault['input']!r}: {fault['msg']}"
                for fault in error.errors()
            )
            raise SettingsError(f"settings: {faults}") from error

    @cached_property
    def contract_path(self) -> Path:
        """The contract's file; a relative name counts from the project's root."""
        return ROOT / self.contract

    @cached_property
    def state_path(self) -> Path:
        """The state folder; a relative name counts from the project's root."""
        return ROOT / self.state_dir
