"""The reference for drift: training rows of a run, scored by its model."""

import io
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from filelock import FileLock

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import TARGET
from mlstack.contract.target import Target
from mlstack.data.customer_table import customer_table
from mlstack.data.outcome_table import outcome_column
from mlstack.errors import ModelError, NoReference, RegistryUnavailable, listing
from mlstack.files import write_atomically
from mlstack.model.mlflow_api import download, find_run, find_search
from mlstack.model.model_files import sha256
from mlstack.model.model_store import ModelStore
from mlstack.quality.results import MIN_OUTCOMES, Quality
from mlstack.quality.targets import quality_at_training

REFERENCE_FILE = "reference/training_rows.csv"
"""Artifact of a search's parent run: clean training rows with the target."""

_VALIDATION_ROWS = "validation_rows"
"""Parameter of a search: the number of rows behind its trials' metrics."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Training rows of a run, scored by its model.

    Args:
        contract: Contract that the run was trained with.
        rows: The features as `customer_table` returns them, and the columns of `outcome_table`.
        quality: The run's metrics on its validation rows, which were not used in training; None if
            MLflow does not have them, or there are too few rows.
    """

    run_id: str
    contract: Contract
    rows: pd.DataFrame
    quality: Quality | None


class ReferenceStore:
    """References by run id, each downloaded once into a folder of verified copies."""

    def __init__(self, folder: Path, models: ModelStore) -> None:
        self._folder, self._models = folder, models

    def load(self, run_id: str) -> Reference:
        """Load the training rows of a run's search and score them with the run's model.

        The run need not be the best of its search.

        Raises:
            NoReference: the run has no training rows, or they do not match its contract.
            RegistryUnavailable: there is no copy, and MLflow cannot be reached.
            ModelError: as `ModelStore.load`.
        """
        model = self._models.load(run_id)
        contract = model.contract
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / f"{run_id}.lock"):
                content = self._load_cached(run_id, ".csv", _fetch_rows)
                figures = self._load_cached(run_id, ".json", _fetch_figures)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise NoReference(
                f"the training rows of run {run_id} cannot be stored here: {reason}"
            ) from error
        rows = _parse(content, run_id, contract)
        try:
            features = customer_table(rows, contract)
            outcomes = outcome_column(rows[contract.target.name], contract.target)
        except (ValueError, TypeError) as error:
            raise NoReference(f"the training rows of run {run_id} are broken: {error}") from error
        scored = features.join(model.score_table(features))
        scored[TARGET] = outcomes
        quality = _quality(json.loads(figures), contract.target)
        return Reference(run_id, contract, scored, quality)

    def _load_cached(self, run_id: str, suffix: str, fetch: Callable[[str], bytes]) -> bytes:
        """Return the copy if it matches the checksum in its name, else fetch a new one."""
        for path in self._folder.glob(f"{run_id}-*{suffix}"):
            content = path.read_bytes()
            if path.stem == f"{run_id}-{sha256(content)}":
                return content
            path.unlink()  # damaged; MLflow has an intact one
        content = fetch(run_id)
        write_atomically(self._folder / f"{run_id}-{sha256(content)}{suffix}", content)
        return content


def _fetch_rows(run_id: str) -> bytes:
    search = find_search(find_run(run_id))
    try:
        with tempfile.TemporaryDirectory() as scratch:
            return download(search, REFERENCE_FILE, Path(scratch)).read_bytes()
    except RegistryUnavailable:
        raise
    except ModelError as error:
        raise NoReference(
            f"there are no training rows to compare with: {error}; only runs of this project's "
            "training flow have them"
        ) from error


def _fetch_figures(run_id: str) -> bytes:
    run = find_run(run_id)
    figures = dict(run.data.metrics)
    if rows := find_run(find_search(run)).data.params.get(_VALIDATION_ROWS):
        figures[_VALIDATION_ROWS] = float(rows)
    return json.dumps(figures).encode()


def _quality(figures: Mapping[str, float], target: Target) -> Quality | None:
    """Read a run's metrics; None if they are missing, or based on too few rows."""
    # Copies of earlier versions lack the number of rows.
    if figures.get(_VALIDATION_ROWS, MIN_OUTCOMES) < MIN_OUTCOMES:
        return None
    return quality_at_training(figures, target)


def _parse(content: bytes, run_id: str, contract: Contract) -> pd.DataFrame:
    """Read all values as text; an empty one is missing."""
    try:
        rows = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise NoReference(f"the training rows of run {run_id} are not a table: {error}") from error
    wanted = [*contract.feature_names, contract.target.name]
    absent = [name for name in wanted if name not in rows.columns]
    if absent or rows.empty:
        fault = f"lack {listing(absent)}" if absent else "are empty"
        raise NoReference(f"the training rows of run {run_id} {fault}")
    return rows[wanted].where(rows[wanted] != "", None)
