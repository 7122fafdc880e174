"""Calculate what each column of a row adds to a model's margins: XGBoost's exact SHAP values.

Servers do not import XGBoost, which takes a second and 100 MiB. They ask a child process,
`python -m mlstack.model.contributions DESCRIPTOR`, through a pipe; DESCRIPTOR is the child's end of
it (see `server.explainer`). It ends with the server, or after some minutes without a question.
"""

import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray

from mlstack import command_line
from mlstack.errors import ModelError
from mlstack.model.encoder import Matrix
from mlstack.model.model_files import read_trained_files

Contributions = NDArray[np.float32]
"""Shape (n_outputs, n_columns + 1); the last column is the base, which is the same for every row.
The columns of an output add up to its margin."""

_NICENESS = 10
"""Explanations get the CPU time that predictions leave."""

_IDLE_SECONDS = 300.0


class Contributor:
    """Explains how a model scores rows; its local copy is in `folder`.

    Raises ModelError if a file of the copy is missing or modified.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        content = read_trained_files(folder, run_id).booster
        try:
            self._booster = xgboost.Booster(model_file=bytearray(content))
        except xgboost.core.XGBoostError as error:
            raise ModelError(f"model of run {run_id} cannot be loaded: {error}") from error
        self._booster.set_param({"nthread": 1})

    def __call__(self, matrix: Matrix) -> Contributions:
        """Return the contributions of one encoded row, a matrix of shape (1, n_columns)."""
        row = xgboost.DMatrix(matrix, nthread=1)
        found: Contributions = self._booster.predict(
            row, pred_contribs=True, validate_features=False
        )
        return found.reshape(-1, matrix.shape[1] + 1)


def main() -> None:
    """Answer a server's questions until it ends, or asks no more."""
    os.nice(_NICENESS)
    questions = Connection(int(sys.argv[1]))
    contributor, explained = None, ("", "")
    while questions.poll(_IDLE_SECONDS):
        try:
            folder, run_id, matrix = questions.recv()
        except EOFError:
            return
        if contributor is None or explained != (folder, run_id):
            contributor, explained = Contributor(Path(folder), run_id), (folder, run_id)
        questions.send(contributor(matrix))


if __name__ == "__main__":
    command_line.run(main, "explanations: ")
