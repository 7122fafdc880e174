"""Draw a synthetic sample from a model of a real raw table.

The sample has the real table's columns and formats, but none of its rows. If a drawn row equals a
real one in all columns except the id, or in a contract's features, it is redrawn.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mlstack.command_line import argument_parser, run, say
from mlstack.contract import Contract, contract_files
from mlstack.data.dataset import clean, read_raw
from mlstack.errors import DataError, DataFault
from mlstack.files import write_atomically
from mlstack.settings import ROOT
from notebooks.sample.conditional_trees import ConditionalTrees, class_counts
from notebooks.sample.real_table import RealTable

ROWS = 8000
SEED = 20221

_ROUNDS = 50

_Taken = dict[str, set[str]]
"""Keys of rows that must not be drawn, for each set of compared columns."""


def draw_sample(table: RealTable, rows: int, seed: int) -> pd.DataFrame:
    """Draw a sample of a real table, with all values as text.

    The classes keep their shares. The same table, rows and seed give the same sample.

    Raises:
        DataError: there are too few rows to contain both classes, or the table is so uniform that
            too few new rows exist.
    """
    rng = np.random.default_rng(seed)
    counts = class_counts(table.rows[table.target].tolist(), rows)
    if min(counts.values()) < 1:
        raise DataError(DataFault(f"{rows} rows are too few to have both classes; draw more"))
    taken = {
        what: set(table.keys(table.rows, names)) for what, names in table.compared_columns.items()
    }
    drawn = pd.concat(
        [_draw_class(table, of_class, count, taken, rng) for of_class, count in counts.items()]
    )
    drawn = drawn.iloc[rng.permutation(len(drawn))].set_axis(range(1, len(drawn) + 1))
    for column in table.of_role("identifier"):
        drawn[column.name] = _identifiers(table.rows[column.name], len(drawn), rng).to_numpy(
            np.float64
        )
    sample = table.texts(drawn)
    for contract in table.contracts:
        clean(sample, contract)
    return sample


def _draw_class(
    table: RealTable, of_class: str, count: int, taken: _Taken, rng: np.random.Generator
) -> pd.DataFrame:
    model = ConditionalTrees(table, of_class)
    rows = pd.DataFrame()
    for _ in range(_ROUNDS):
        fresh = _fresh(table, model.draw(count - len(rows), rng), taken)
        rows = pd.concat([rows, fresh], ignore_index=True)
        if len(rows) == count:
            return rows
    raise DataError(
        DataFault(
            f"only {len(rows)} of {count} rows of class {of_class!r} could be drawn that the "
            "real table does not contain; draw fewer rows"
        )
    )


def _fresh(table: RealTable, rows: pd.DataFrame, taken: _Taken) -> pd.DataFrame:
    """Keep distinct rows in the real ranges that are not in `taken`; add them to it."""
    # A computed column can leave its range in the real table.
    for name in table.relations:
        real = table.rows[name]
        rows = rows[rows[name].between(real.min(), real.max())]
    for what, names in table.compared_columns.items():
        keys = table.keys(rows, names)
        rows = rows[~keys.isin(taken[what]) & ~keys.duplicated()]
    for what, names in table.compared_columns.items():
        taken[what].update(table.keys(rows, names))
    return rows


def _identifiers(
    real: "pd.Series[float]", count: int, rng: np.random.Generator
) -> "pd.Series[int]":
    """Draw distinct integers in the range of the real ones, excluding those."""
    low, high = int(real.min()), int(real.max())
    enough = len(real) + count
    # Extend the range upwards if it has too few unused numbers.
    drawn = pd.Series(low + rng.choice(max(high - low + 1, enough), size=enough, replace=False))
    return drawn[~drawn.isin(real)].head(count)


def write_raw(sample: pd.DataFrame, table: RealTable, path: Path) -> None:
    """Write text values as CSV: quote names and text, but not numbers."""
    quoted = {column.name for column in table.columns if column.number is None}
    lines = [",".join(map(_quote, sample.columns))]
    columns = [
        sample[name].map(_quote) if name in quoted else sample[name] for name in sample.columns
    ]
    lines += [",".join(row) for row in zip(*columns, strict=True)]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Create a parser with options for the real table and its contracts."""
    parser = argument_parser(module, description)
    parser.add_argument("--real", type=Path, required=True, help="the real raw table (CSV)")
    parser.add_argument(
        "--contract",
        type=Path,
        nargs="+",
        default=contract_files(ROOT / "contracts"),
        help="the contracts that share the sample",
    )
    return parser


def load(real: Path, contracts: Sequence[Path]) -> RealTable:
    """Read a real table; raise DataError or ContractError if a file is invalid."""
    if not real.is_file():
        raise DataError(DataFault(f"{real}: there is no such file"))
    return RealTable(read_raw(real).frame(), [Contract.load(path) for path in contracts])


def sample_path(contracts: Sequence[Contract]) -> Path:
    """Return the contracts' sample path; raise DataError unless they agree on one."""
    named = {contract.data.sample for contract in contracts}
    if len(named) != 1 or None in named:
        raise DataError(DataFault("the contracts do not name one sample (data: sample:)"))
    return ROOT / str(named.pop())


def main() -> None:
    """Draw and write a sample: `python -m notebooks.sample.draw_sample --real FILE`."""
    options = parser("notebooks.sample.draw_sample", __doc__)
    options.add_argument("--rows", type=int, default=ROWS, help=f"rows to draw ({ROWS})")
    options.add_argument("--seed", type=int, default=SEED, help=f"seed of the draw ({SEED})")
    options.add_argument("--out", type=Path, help="file to write (as the contracts name it)")
    arguments = options.parse_args()
    table = load(arguments.real, arguments.contract)
    path = arguments.out or sample_path(table.contracts)
    write_raw(draw_sample(table, arguments.rows, arguments.seed), table, path)
    say(f"{path}: {arguments.rows} rows, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    run(main, "draw_sample: ")
