"""Models in memory: loaded from their files, verified, and ready to score."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mlstack.contract import Contract
from mlstack.contract.target import Scored
from mlstack.errors import ContractError, ModelError
from mlstack.model.check_rows import CheckRows
from mlstack.model.encoder import Encoder, Matrix
from mlstack.model.engine import Engine
from mlstack.model.model_files import (
    Manifest,
    read_marginals,
    read_onnx_files,
    read_trained_files,
)
from mlstack.model.targets import Margins, Scores, as_scores, scored

if TYPE_CHECKING:
    import pandas as pd

# Another machine may round the last bits of an exponential differently.
_TEST_ROW_TOLERANCE = 1e-5


class Model:
    """The verified model of a run, in memory; scoring is thread-safe."""

    def __init__(
        self, run_id: str, contract: Contract, engine: Engine, folder: Path, marginals: str | None
    ) -> None:
        self.run_id, self.contract = run_id, contract
        self.folder = folder
        """Where its files are."""
        self.marginals = marginals
        """The text of the training rows' marginals; None if the run has none."""
        self.encoder = Encoder(contract)
        self._engine = engine

    @classmethod
    def load(cls, folder: Path, run_id: str) -> Self:
        """Load a model and verify it: checksums before parsing, check rows and test row after.

        `folder` contains an MLflow XGBoost model, with our files in `EXTRA_FOLDER`.

        Raises:
            ModelNotConverted: an earlier release trained the model; it has no ONNX form.
            ModelError: a file is missing or modified, or the model contradicts its manifest.
        """
        trained = read_trained_files(folder, run_id)
        files = read_onnx_files(folder, run_id, trained.manifest)
        try:
            contract = Contract.parse(trained.contract, f"contract of run {run_id}")
            engine = Engine(files.model)
        except (ContractError, ModelError) as error:
            raise ModelError(f"model of run {run_id} cannot be loaded: {error}") from error
        model = cls(run_id, contract, engine, folder, read_marginals(folder))
        model._verify(trained.manifest, CheckRows.parse(files.check_rows))
        return model

    def score(self, customers: Sequence[Mapping[str, Any]]) -> list[Scored]:
        """Predict valid customers."""
        return scored(self.contract.target, self.score_matrix(self.encoder.encode(customers)))

    def score_table(self, rows: "pd.DataFrame") -> "pd.DataFrame":
        """Predict a table's rows; return the predictions as `prediction_columns` does."""
        from mlstack.model.target_columns import (  # noqa: PLC0415 - servers do without pandas
            prediction_columns,
        )

        scores = self.score_matrix(self.encoder.encode_frame(rows))
        return prediction_columns(self.contract.target, scores, rows.index)

    def score_matrix(self, matrix: Matrix) -> Scores:
        """Score encoded rows; see `targets.Scores`."""
        return as_scores(self.contract.target, self.margins(matrix))

    def margins(self, matrix: Matrix) -> Margins:
        """Return the margins that scores are computed from, shape (n_rows, n_outputs)."""
        return self._engine.margins(matrix)

    def follow_contract(self, contract: Contract) -> None:
        """Check that the model was trained with the contract that requests follow, and use that.

        They may differ in texts for people and in settings that change no prediction. Raises
        ModelError if they differ in anything else.
        """
        if self.contract.digest != contract.digest:
            raise ModelError(
                f"run {self.run_id} was trained with another contract ({self.contract.name}) "
                f"than CONTRACT names ({contract.name}): set CONTRACT to its own, or train again"
            )
        self.contract = contract

    def _verify(self, manifest: Manifest, check_rows: CheckRows) -> None:
        model = f"model of run {self.run_id}"
        if manifest.columns != self.encoder.columns:
            raise ModelError(f"{model}: this version encodes its contract to different columns")
        if self._engine.columns != len(manifest.columns):
            raise ModelError(
                f"{model} has {self._engine.columns} columns, "
                f"but its manifest lists {len(manifest.columns)}"
            )
        if differ := check_rows.count_differences(self._engine):
            raise ModelError(
                f"{model}: ONNX Runtime scores {differ} of its {len(check_rows.matrix)} check rows "
                "differently than XGBoost did after training"
            )
        score = self.score_matrix(self.encoder.encode([manifest.test_row]))[0]
        expected = np.asarray(manifest.test_row_chance)
        # Numbers of a regression may be large.
        tolerance = _TEST_ROW_TOLERANCE * np.maximum(1, np.abs(expected))
        if score.shape != expected.shape or not (np.abs(score - expected) <= tolerance).all():
            raise ModelError(
                f"{model} predicts {score.tolist()} for its test row, "
                f"but predicted {manifest.test_row_chance} after training"
            )
