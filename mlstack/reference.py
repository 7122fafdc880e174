"""What present customers are compared with: the rows that the served model was trained on."""

import hashlib
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from filelock import FileLock

from mlstack.contract import Contract
from mlstack.customer_table import customer_table
from mlstack.errors import NoReference, RegistryUnavailable
from mlstack.files import write_atomically
from mlstack.mlflow_runs import download, find_run
from mlstack.model_store import ModelStore

REFERENCE_FILE = "reference/training_rows.csv"
"""Artifact of a search's parent run: clean training rows with the target."""

PREDICTION = "prediction"
"""Column of a table of predictions: the chance of the positive class."""

TARGET = "target"
"""Column of a table of predictions: 1 for the positive class, else 0; NaN: not known yet."""

_PARENT = "mlflow.parentRunId"


@dataclass(frozen=True, slots=True)
class Reference:
    """Training rows of a run's search, scored by the run's own model.

    Args:
        run_id: The run.
        contract: What it was trained with.
        rows: The features as `customer_table` gives them, `PREDICTION` (float64) and
            `TARGET` (int64).
    """

    run_id: str
    contract: Contract
    rows: pd.DataFrame


class ReferenceStore:
    """References by run id, each downloaded once.

    Args:
        folder: Where verified copies are kept, so that a restart needs no MLflow.
        models: Where the runs' models are.
    """

    def __init__(self, folder: Path, models: ModelStore) -> None:
        self._folder, self._models = folder, models

    def load(self, run_id: str) -> Reference:
        """Loads the training rows of a run's search and scores them with the run's model.

        It does not matter whether the run is the one that won its search.

        Raises:
            NoReference: the run has none, or what it has is no table of its contract.
            RegistryUnavailable: there is no copy, and MLflow can not be reached.
            ModelError: as `ModelStore.load`.
        """
        model = self._models.load(run_id)
        contract = model.contract
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / f"{run_id}.lock"):
                content = self._kept(run_id) or self._fetch(run_id)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise NoReference(
                f"the training rows of run {run_id} can not be kept here: {reason}"
            ) from error
        rows = _parse(content, run_id, contract)
        features = customer_table(rows, contract)
        chances = model.score_matrix(model.encoder.encode_frame(features))
        scored = features.assign(**{PREDICTION: chances.astype("float64")})
        scored[TARGET] = pd.to_numeric(rows[contract.target.name]).astype("int64")
        return Reference(run_id, contract, scored)

    def _kept(self, run_id: str) -> bytes | None:
        """The copy, if there is one and it is what was downloaded: its name has its checksum."""
        for path in self._folder.glob(f"{run_id}-*.csv"):
            content = path.read_bytes()
            if path.stem == f"{run_id}-{_checksum(content)}":
                return content
            path.unlink()  # spoilt by a disk; it is whole in MLflow
        return None

    def _fetch(self, run_id: str) -> bytes:
        # The run of a search is its trials' parent; a search's own run is asked for its own.
        parent = find_run(run_id).data.tags.get(_PARENT, run_id)
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            try:
                content = download(parent, REFERENCE_FILE, Path(scratch)).read_bytes()
            except RegistryUnavailable as error:
                find_run(parent)  # MLflow answers: what is missing is the file
                raise NoReference(
                    f"there are no training rows to compare with: {error}; only runs of this "
                    "project's training flow have them"
                ) from error
        write_atomically(self._folder / f"{run_id}-{_checksum(content)}.csv", content)
        return content


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _parse(content: bytes, run_id: str, contract: Contract) -> pd.DataFrame:
    """Every value as the text that stands in the file; an empty one is missing."""
    try:
        rows = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise NoReference(f"the training rows of run {run_id} are no table: {error}") from error
    wanted = [*contract.feature_names, contract.target.name]
    absent = [name for name in wanted if name not in rows.columns]
    if absent or rows.empty:
        lack = f"lack {', '.join(absent)}" if absent else "are none"
        raise NoReference(f"the training rows of run {run_id} {lack}")
    return rows[wanted].where(rows[wanted] != "", None)
