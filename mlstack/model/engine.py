"""Score encoded rows with ONNX Runtime."""

import os

# Otherwise the package reports each use to its maker, from a thread that does not survive a fork:
# workers of the HTTP server would abort when they stop.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

from mlstack.errors import ModelError
from mlstack.model.encoder import Matrix
from mlstack.model.targets import Margins

ROWS, MARGINS = "rows", "margins"
"""Names of the graph's input and output."""


class Engine:
    """Computes a model's margins, bit for bit as XGBoost does; thread-safe.

    A row has the same margins alone and in any batch. Raises ModelError if ONNX Runtime cannot load
    the content.
    """

    def __init__(self, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        # Several threads would add up the trees in another order.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no base of their own
            raise ModelError(f"ONNX Runtime cannot load it: {error}") from error
        self.columns: int = self._session.get_inputs()[0].shape[1]
        """Number of columns of the matrix."""

    def margins(self, matrix: Matrix) -> Margins:
        """Compute the margins of a matrix of shape (n_rows, n_columns)."""
        margins: Margins = self._session.run([MARGINS], {ROWS: matrix})[0]
        return margins
