"""The training flow: load, clean, split, search, register.

Prefect runs it on a schedule and by `make train`; parameters come with the deployment.
"""

import secrets

import pandas as pd
from prefect import flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE

from mlstack.contract import Contract
from mlstack.data import dataset
from mlstack.data.feature_store import FeatureStore
from mlstack.settings import ROOT, Settings
from model_orchestration import registration
from model_orchestration import search as searching
from model_orchestration.conclusion import conclude
from model_orchestration.mlflow_api import connect
from model_orchestration.names import FLOW_RUN
from model_orchestration.provenance import provenance
from model_orchestration.schedule import FLOW
from model_orchestration.tracking import SearchTracking, Winner


@flow(name=FLOW)
def model_tuning_and_uploading(contract: str, trials: int, seed: int | None = None) -> None:
    """From the raw table in the feature store to a new version in the model registry.

    Args:
        contract: File of the dataset contract; a relative name counts from the project's root.
        trials: Models to train in the search.
        seed: Of the search; None: another one each time, as the parent run says.
    """
    described = Contract.load(ROOT / contract)
    contract_text = (ROOT / contract).read_text(encoding="utf-8")
    raw = load(described)
    rows = clean(raw, described)
    parts = split(rows, described)
    winner = search(
        parts,
        contract_text,
        trials=trials,
        # The same seed on the same data would only find the same models again.
        seed=secrets.randbits(31) if seed is None else seed,
        tags=provenance(raw, described),
    )
    register(winner, described, parts.test)


@task(cache_policy=NO_CACHE)
def load(contract: Contract) -> bytes:
    """Reads the raw table from the feature store."""
    raw = FeatureStore(Settings.load().feature_store_bucket).download(contract.data.key)
    get_run_logger().info("%s: %.1f MB of raw data", contract.data.key, len(raw) / 1e6)
    return raw


@task(cache_policy=NO_CACHE)
def clean(raw: bytes, contract: Contract) -> pd.DataFrame:
    """Cleans the raw table and validates it: what does not fit the contract ends the flow."""
    log = get_run_logger()
    table = dataset.read_raw(raw)
    unlisted = dataset.unlisted_columns(table, contract)
    if unlisted:
        log.warning("columns that the contract does not mention: %s", ", ".join(unlisted))
    rows = dataset.clean(table, contract)
    positive = int(rows[contract.target.name].sum())
    log.info(
        "%s raw rows, %s clean ones, %s of them %s = 1",
        *(f"{count:,}" for count in (len(table), len(rows), positive)),
        contract.target.name,
    )
    return rows


@task(cache_policy=NO_CACHE)
def split(rows: pd.DataFrame, contract: Contract) -> dataset.Split:
    """Splits the clean rows into train, validation and test."""
    parts = dataset.split(rows, contract)
    get_run_logger().info("train %s, validation %s, test %s rows", *map(len, parts))
    return parts


@task(cache_policy=NO_CACHE)
def search(
    parts: dataset.Split, contract_text: str, *, trials: int, seed: int, tags: dict[str, str]
) -> Winner:
    """Trains the models, every one tracked, and picks the best."""
    log = get_run_logger()
    contract = Contract.parse(contract_text)
    tracking = SearchTracking(
        connect(),
        contract_text,
        tags=tags,
        params={
            FLOW_RUN: runtime.flow_run.id,
            "trials": trials,
            "seed": seed,
            **{f"{part}_rows": len(rows) for part, rows in parts._asdict().items()},
        },
        name=str(runtime.flow_run.name),
    )

    def on_trial(trial: searching.Trial, best: searching.Trial | None) -> None:
        tracking.take(trial)
        best_rmse = f"best {best.loss:.4f}" if best else "none has succeeded yet"
        if trial.failure is not None:
            log.warning(
                "trial %d of %d: failed (%s), %s", trial.number, trial.of, trial.failure, best_rmse
            )
        else:
            log.info("trial %d of %d: rmse %.4f, %s", trial.number, trial.of, trial.loss, best_rmse)

    with tracking:
        log.info("search in MLflow: %s", tracking.address)
        best = searching.search(
            searching.Rows.encode(parts.train, contract),
            searching.Rows.encode(parts.validation, contract),
            trials=trials,
            seed=seed,
            on_trial=on_trial,
        )
        seconds = tracking.all_sent()
        log.info(
            "time: training %.1f s; uploads to MLflow %.1f s beside it, waited for %.1f s",
            seconds.training,
            seconds.sending,
            seconds.waiting,
        )
        winner = conclude(tracking, contract, parts, best)
    log.info(
        "winner: trial %d, run %s, test rmse %.4f, auc %.4f",
        best.number,
        winner.run_id,
        winner.test_metrics["rmse"],
        winner.test_metrics["auc"],
    )
    return winner


@task(cache_policy=NO_CACHE)
def register(winner: Winner, contract: Contract, test: pd.DataFrame) -> None:
    """Registers the winner, as champion when it is no worse than the one until now."""
    done = registration.register(connect(), contract, winner, test)
    get_run_logger().info(
        "registered as %s, version %s, aliases %s: %s",
        done.name,
        done.version,
        ", ".join(done.aliases),
        done.reason,
    )
