"""Read, clean, validate and split the raw table."""

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.contract import CategoryFeature, Contract, Feature, IntegerFeature, OrdinalFeature
from mlstack.errors import DataError, DataFault, listing

_FIRST_BAD_ROWS = 5
_SHOWN_CHARACTERS = 64


def read_raw(source: Path | bytes) -> pd.DataFrame:
    """Read a raw CSV table as text, indexed by 1-based row number without the header.

    Raises DataError if it is not a CSV table, is empty, or names a column twice.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    try:
        table = pd.read_csv(
            io.BytesIO(content.lstrip(b"\r\n")),
            header=None,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            skip_blank_lines=False,
        )
    except pd.errors.EmptyDataError:
        raise DataError(DataFault("the table is empty")) from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(DataFault(f"the table is not a CSV file in UTF-8: {error}")) from error
    header = [str(name).strip() for name in table.iloc[0]]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(*(DataFault("appears twice in the header", column=c) for c in twice))
    # A row that ends early has NaN in its last columns.
    rows = table.iloc[1:].fillna("").set_axis(header, axis="columns")
    stripped: pd.DataFrame = rows.apply(lambda column: column.str.strip())
    # Blank rows are dropped last, so that row numbers match the file.
    filled: pd.DataFrame = stripped[(stripped != "").any(axis=1)]
    if filled.empty:
        raise DataError(DataFault("the table has a header but no rows"))
    return filled


def unlisted_columns(raw: pd.DataFrame, contract: Contract) -> list[str]:
    """List the columns that the contract neither uses nor drops."""
    known = {*_used_columns(contract), *contract.clean_up.drop_columns}
    return [column for column in raw.columns if column not in known]


def clean(raw: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Clean raw rows (text, from `read_raw`) by the contract.

    Returns:
        The features in the contract's order and the target (1 for the positive class), indexed as
        `raw`, with the types that `customer_table` describes.

    Raises:
        DataError: has every error in the table.
    """
    absent = [column for column in _used_columns(contract) if column not in raw.columns]
    if absent:
        raise DataError(*(DataFault("is not in the table", column=c) for c in absent))
    if raw.empty:
        raise DataError(DataFault("the table has no rows"))
    void = raw[_used_columns(contract)].isin(contract.clean_up.void_row_values).any(axis=1)
    rows = raw[~void]
    if rows.empty:
        raise DataError(DataFault("no row is left after the clean-up"))

    faults: list[DataFault] = []
    columns = {f.name: _clean_feature(rows[f.raw], f, contract, faults) for f in contract.features}
    target = contract.target
    classes = {target.positive: 1, target.negative: 0}
    churned = rows[target.raw].map(classes)
    _note(
        faults, rows[target.raw], churned.isna(), f"is neither {' nor '.join(map(repr, classes))}"
    )
    if faults:
        raise DataError(*faults)
    for value, label in ((1, target.positive), (0, target.negative)):
        if not (churned == value).any():
            raise DataError(DataFault(f"no row is {label!r}", column=target.raw))
    return pd.DataFrame({**columns, target.name: churned.astype("int64")}, index=rows.index)


def _used_columns(contract: Contract) -> list[str]:
    return [contract.target.raw, *(feature.raw for feature in contract.features)]


def _clean_feature(
    raw: "pd.Series[str]", feature: Feature, contract: Contract, faults: list[DataFault]
) -> "pd.Series":
    missing = (raw == "") | raw.isin(contract.clean_up.missing_values)
    if not feature.may_be_missing:
        _note(faults, raw, missing, "is missing")
    given = ~missing
    if isinstance(feature, CategoryFeature | OrdinalFeature):
        values = raw.where(given).map(feature.raw_values)
        allowed = listing([*map(repr, feature.raw_values)])
        _note(faults, raw, given & values.isna(), f"is an unknown category; known are {allowed}")
        if isinstance(feature, CategoryFeature):
            return values.astype(object).where(values.notna(), None)
        return _as_whole(values)
    numbers = pd.to_numeric(raw.where(given), errors="coerce").astype("float64")
    # pandas reads 'inf' and 'nan' as numbers; here they are errors.
    no_number = given & ~np.isfinite(numbers)
    _note(faults, raw, no_number, "is not a number")
    low, high = feature.range
    outside = given & ~no_number & ~numbers.between(low, high)
    _note(faults, raw, outside, f"is out of range: {low} to {high}")
    if isinstance(feature, IntegerFeature):
        _note(faults, raw, given & ~no_number & (numbers % 1 != 0), "is not a whole number")
        return _as_whole(numbers)
    return numbers


def _as_whole(values: "pd.Series") -> "pd.Series":
    numbers = pd.to_numeric(values).astype("float64")
    whole = bool(((numbers % 1) == 0).all())
    return numbers.astype("int64") if whole else numbers


def _note(
    faults: list[DataFault], raw: "pd.Series[str]", bad: "pd.Series[bool]", reason: str
) -> None:
    count = int(bad.sum())
    if count:
        first = raw[bad].head(_FIRST_BAD_ROWS)
        rows = tuple(
            (int(str(row)), str(value)[:_SHOWN_CHARACTERS]) for row, value in first.items()
        )
        faults.append(DataFault(reason, column=str(raw.name), rows=rows, count=count))


class SplitRows(NamedTuple):
    """Clean rows by use; each row is in one table."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame


def split(rows: pd.DataFrame, contract: Contract) -> SplitRows:
    """Split clean rows by the contract's shares and seed, stratified by the target.

    A row's content determines its part. Adding or removing rows moves few others, so that a later
    model is rarely evaluated on rows that an earlier one was trained on.

    Raises DataError if a class has too few rows for all parts.
    """
    shares = contract.split
    order = _hashes(rows, shares.seed)
    part_of = np.empty(len(rows), dtype=np.int8)
    target = rows[contract.target.name].to_numpy()
    for value in (0, 1):
        members = np.flatnonzero(target == value)
        members = members[np.argsort(order[members], kind="stable")]
        cuts = np.rint(np.cumsum([shares.train, shares.validation]) * len(members)).astype(int)
        for part, chosen in enumerate(np.split(members, cuts)):
            if len(chosen) == 0:
                label = contract.target.positive if value else contract.target.negative
                raise DataError(
                    DataFault(
                        f"only {len(members)} rows are {label!r}: too few for training, "
                        "validation and test",
                        column=contract.target.raw,
                    )
                )
            part_of[chosen] = part
    return SplitRows(*(rows[part_of == part] for part in range(3)))


def _hashes(rows: pd.DataFrame, seed: int) -> NDArray[np.uint64]:
    """Derive a number for each row from its content."""
    key = seed.to_bytes(8, "big")
    digests = [
        hashlib.blake2b(repr(row).encode(), digest_size=8, key=key).digest()
        for row in rows.itertuples(index=False, name=None)
    ]
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)
