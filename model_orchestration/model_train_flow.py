"""The training flow: load, clean, split, search, register.

Prefect runs it on schedule and for `make train`, with the parameters of the schedule.
"""

import logging
import resource
import secrets
from datetime import UTC, datetime

import pandas as pd
import xgboost
from prefect import flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE

from mlstack.contract import Contract
from mlstack.contract.target import RegressionTarget
from mlstack.data import dataset
from mlstack.data.feature_store import FeatureStore
from mlstack.data.kept_tables import KeptTables
from mlstack.data.marginals import Marginals
from mlstack.data.outcome_table import summary
from mlstack.errors import listing
from mlstack.model.card_names import card_name
from mlstack.model.matrix_size import check_matrix_size
from mlstack.model.targets import Scores
from mlstack.quality.results import explain_outcomes
from mlstack.settings import DEFAULT_TRAIN_ENGINE, DEFAULT_TRAIN_LAG, ROOT, Settings
from model_orchestration import registration
from model_orchestration import search as searching
from model_orchestration.engine_choice import choose_engine
from model_orchestration.metrics import HEADLINES, loss_name
from model_orchestration.model_card.card import Origin, make_card
from model_orchestration.model_card.coverage import CleanUp
from model_orchestration.model_card.publish import keep_card, publish_cards
from model_orchestration.names import FLOW_RUN
from model_orchestration.registration import Registration
from model_orchestration.schedule import FLOW
from model_orchestration.stopwatch import Stopwatch
from model_orchestration.tracking import SearchTracking, Winner, provenance
from model_orchestration.trials import Rows, Trial


@flow(name=FLOW)
def model_tuning_and_uploading(
    contract: str,
    trials: int,
    seed: int | None = None,
    lag: int = DEFAULT_TRAIN_LAG,
    engine: str = DEFAULT_TRAIN_ENGINE,
) -> None:
    """Train models on the raw table and register the best one in the model registry.

    The path `contract` is relative to the project's root. Without a seed, the search draws one,
    which the parent run records. `engine` is as in `Settings.train_engine`.
    """
    described, times = Contract.load(ROOT / contract), Stopwatch()
    # With a fixed seed, the same data would always give the same models.
    seed = secrets.randbits(31) if seed is None else seed
    with times.time("load"):
        raw = load(described)
    with times.time("clean"):
        rows, clean_up = clean(raw, described)
    with times.time("split"):
        parts = split(rows, described)
    tags = provenance(raw, described)
    # A search takes long, and these take hundreds of megabytes of a million rows.
    del raw, rows
    winner = search(
        parts,
        described,
        (ROOT / contract).read_text(encoding="utf-8"),
        trials=trials,
        seed=seed,
        lag=lag,
        engine=engine,
        tags=tags,
        times=times,
    )
    with times.time("register"):
        registered = register(winner, described, parts.test)
    with times.time("card"):
        origin = Origin(winner.run_id, tags, trials, seed, clean_up, datetime.now(UTC))
        write_card(described, registered, origin, parts, winner.scores)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    get_run_logger().info("time: %s; peak memory %.0f MB", times, peak)


@task(cache_policy=NO_CACHE)
def load(contract: Contract) -> bytes:
    """Read the raw table from the feature store, and keep it by its digest."""
    settings = Settings.load()
    store = FeatureStore(settings.feature_store_bucket)
    raw = store.download(contract.data.key)
    KeptTables(settings).keep(raw, store)
    get_run_logger().info("%s: %.1f MB of raw data", contract.data.key, len(raw) / 1e6)
    return raw


@task(cache_policy=NO_CACHE)
def clean(raw: bytes, contract: Contract) -> tuple[pd.DataFrame, CleanUp]:
    """Clean and validate the raw table; the flow fails if it violates the contract."""
    log = get_run_logger()
    table = dataset.read_raw(raw)
    notes = list(table.notes)
    for left_out in notes:
        log.warning("%s", left_out)
    unlisted = dataset.unlisted_columns(table, contract)
    if unlisted:
        log.warning("columns missing from the contract: %s", listing(unlisted))

    def note(left_out: str) -> None:
        log.warning("%s", left_out)
        notes.append(left_out)

    rows = dataset.clean(table, contract, note)
    target = contract.target
    log.info(
        "%s raw rows, %s clean ones, %s: %s",
        *(f"{count:,}" for count in (len(table), len(rows))),
        *(target.name, summary(target, rows[target.name])),
    )
    return rows, CleanUp(len(table), tuple(notes))


@task(cache_policy=NO_CACHE)
def split(rows: pd.DataFrame, contract: Contract) -> dataset.SplitRows:
    """Split the clean rows into train, validation and test."""
    parts = dataset.split(rows, contract)
    by = f", by the time in column {contract.time.raw!r}" if contract.time else ""
    get_run_logger().info("train %s, validation %s, test %s rows%s", *map(len, parts), by)
    return parts


@task(cache_policy=NO_CACHE)
def search(
    parts: dataset.SplitRows,
    contract: Contract,
    contract_text: str,
    *,
    trials: int,
    seed: int,
    lag: int,
    engine: str,
    tags: dict[str, str],
    times: Stopwatch,
) -> Winner:
    """Train the models, track each in MLflow, and return the best."""
    log = get_run_logger()
    log.info("%s", check_matrix_size(contract, sum(map(len, parts))))
    with times.time("encode"):
        train, validation, test = (Rows.encode(part, contract) for part in parts)
        marginals = Marginals.fit(parts.train, contract)

    def describe(booster: xgboost.Booster) -> Marginals:
        if not isinstance(contract.target, RegressionTarget):
            return marginals
        return marginals.with_errors(test.outcomes - booster.inplace_predict(test.matrix))

    tracking = SearchTracking(
        contract,
        contract_text,
        tags=tags,
        params={
            FLOW_RUN: runtime.flow_run.id,
            "trials": trials,
            "seed": seed,
            "lag": lag,
            **{f"{part}_rows": len(rows) for part, rows in parts._asdict().items()},
        },
        name=str(runtime.flow_run.name),
        describe=describe,
    )

    loss = loss_name(contract.target)
    open_engine, description = choose_engine(engine, train.matrix.size, lag)

    def on_trial(trial: Trial, best: Trial | None) -> None:
        tracking.add(trial)
        failed = trial.failure is not None
        ending = " (stopped early)" if trial.stopped else ""
        log.log(
            logging.WARNING if failed else logging.INFO,
            "trial %d of %d: %s, %s",
            trial.number,
            trial.of,
            f"failed ({trial.failure})" if failed else f"{loss} {trial.loss:.4f}{ending}",
            f"best {best.loss:.4f}" if best else "none has succeeded yet",
        )

    with tracking:
        if tracking.restored:
            log.warning(
                "the experiment %s had been deleted in MLflow; it is restored, with all its runs",
                contract.name,
            )
        log.info("search in MLflow: %s", tracking.address)
        log.info("%s", description)
        best = searching.search(
            train,
            validation,
            contract.target,
            trials=trials,
            seed=seed,
            lag=lag,
            on_trial=on_trial,
            open_engine=open_engine,
            times=times,
        )
        with times.time("wait for uploads"):
            effort = tracking.finish_trials()
        log.info(
            "%d trials: training %.1f s in all, %d stopped early; uploads %.1f s (in parallel)",
            *(trials, effort.training, effort.stopped, effort.sending),
        )
        with times.time("conclude"):
            winner = tracking.conclude(best, parts.train, train, test)
    figures = "test " + ", ".join(
        f"{name} {winner.test_metrics[name]:.4f}" for name in HEADLINES[type(contract.target)]
    )
    shown = explain_outcomes(len(test.outcomes)) or figures
    log.info("winner: trial %d, run %s, %s", best.number, winner.run_id, shown)
    return winner


@task(cache_policy=NO_CACHE)
def register(winner: Winner, contract: Contract, test: pd.DataFrame) -> Registration:
    """Register the winner, as champion if it is no worse than the current one."""
    registered = registration.register(contract, winner, test)
    get_run_logger().info(
        "registered as %s, version %s, aliases %s: %s",
        registered.name,
        registered.version,
        ", ".join(registered.aliases),
        registered.reason,
    )
    return registered


@task(cache_policy=NO_CACHE)
def write_card(
    contract: Contract,
    registered: Registration,
    origin: Origin,
    parts: dataset.SplitRows,
    scores: Scores,
) -> None:
    """Write the model card of a registered version into MLflow and the reports' folder.

    `scores` are those of the test rows. A failure is only logged: the model is registered and can
    be used without its card.
    """
    settings, log = Settings.load(), get_run_logger()
    try:
        card = make_card(contract, registered, origin, parts, scores)
        keep_card(settings, registered, origin.run_id, card)
        publish_cards(settings)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not fail the training
        log.error(  # noqa: TRY400 - one sentence for the reader of the run's log
            "version %s is registered, but its model card is missing or incomplete: %s: %s",
            *(registered.version, type(error).__name__, error),
        )
        return
    log.info("model card: %s/%s", settings.reports_url, card_name(origin.run_id))
