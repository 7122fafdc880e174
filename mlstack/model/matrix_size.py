"""How much memory a training's matrix takes, and whether this machine has it."""

from mlstack.contract import Contract
from mlstack.errors import DataError, DataFault
from mlstack.machine_memory import available_bytes
from mlstack.model.encoder import Encoder

_CELL_BYTES = 4
_TRAINING_FACTOR = 2.5
"""Measured: XGBoost takes another 0.6 times the matrix, or 1.4 times if values are missing."""

_NAMED = 3


def check_matrix_size(contract: Contract, rows: int) -> str:
    """Describe the memory that training on some rows takes.

    Raises DataError, which names the widest features, if this machine has too little.
    """
    encoder = Encoder(contract)
    columns = len(encoder.columns)
    size = columns * rows * _CELL_BYTES
    needed, free = _TRAINING_FACTOR * size, available_bytes()
    cost = f"{columns:,} columns x {rows:,} rows x {_CELL_BYTES} bytes = {_shown(size)}"
    memory = f"up to {_shown(needed)} of memory, and {_shown(free)} are available"
    if needed <= free:
        return f"matrix: {cost}; training takes {memory}"
    widest = sorted(encoder.widths.items(), key=lambda item: item[1], reverse=True)[:_NAMED]
    named = ", ".join(f"{name} ({width:,} columns)" for name, width in widest)
    reason = (
        f"the matrix is too large to train on ({cost}): training takes {memory}. The widest "
        f"features are {named}: list fewer values of a category and let other take the rest, or "
        "train on a machine with more memory"
    )
    raise DataError(DataFault(reason))


def _shown(size: float) -> str:
    gigabytes = size / 1e9
    return f"{gigabytes:,.1f} GB" if gigabytes >= 1 else f"{size / 1e6:,.1f} MB"
