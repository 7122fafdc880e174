"""Draft a contract from a table: `make contract DATA=path TARGET=column [NAME=name]`.

The draft is written to contracts/<name>.yaml and can be trained with at once. What a person has to
decide is printed, and is in the file as comments. The file contains no row of the table.
"""

import re
import shlex
import sys
from pathlib import Path

from mlstack.command_line import run, say
from mlstack.contract import Contract
from mlstack.contract.drifts import drifts_path, load_drifts
from mlstack.data.canonical import canonical
from mlstack.data.dataset import read_raw
from mlstack.data.table_source import read_source
from mlstack.errors import SettingsError
from mlstack.files import write_atomically
from mlstack.s3_address import S3Address, s3_or_other
from mlstack.settings import ROOT
from operations.contract_draft.draft import Draft, draft_contract
from operations.contract_draft.drafted import new_name

_USAGE = "make contract DATA=path TARGET=column [NAME=name]"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SHOWN = 40


def draft_to_file(data: str, target: str, name: str = "") -> tuple[Path, Draft]:
    """Draft a contract and write it.

    Raises:
        SettingsError: an argument is missing or unusable, or the contract exists.
        DataError: the table cannot be read, or has nothing to learn.
    """
    if not (data and target):
        raise SettingsError(f"name the table and the column to predict: {_USAGE}")
    try:
        given = s3_or_other(data)
    except ValueError as error:
        raise SettingsError(f"DATA={data}: {error}") from error
    source: S3Address | Path = given if isinstance(given, S3Address) else Path(given)
    name = name or new_name(source.name.split(".")[0], (), "table")
    if not _NAME.fullmatch(name):
        raise SettingsError(f"NAME={name}: use lower-case letters, digits and _, a letter first")
    path = ROOT / "contracts" / f"{name}.yaml"
    drifts = drifts_path(path)
    for existing in (path, drifts):
        if existing.exists():
            shown = existing.relative_to(ROOT)
            raise SettingsError(f"{shown} exists and stays as it is: remove it, or set NAME=...")
    table = read_raw(read_source(source))
    draft = draft_contract(table, canonical(target), name, source.name)
    contract = Contract.parse(draft.contract, path)
    write_atomically(path, draft.contract.encode())
    write_atomically(drifts, draft.drifts.encode())
    load_drifts(contract, drifts)
    return path, draft


def main() -> None:
    """Draft the contract that the command line describes."""
    data, target, name = [*sys.argv[1:], "", "", ""][:3]
    path, draft = draft_to_file(data, target, name)
    shown = path.relative_to(ROOT)
    if draft.decisions:
        say("Please decide, and edit the contract where it is wrong:")
        for column, note in draft.decisions[:_SHOWN]:
            say(f"  {column}: {note}")
        if (more := len(draft.decisions) - _SHOWN) > 0:
            say(f"  ... and {more} more, which are in the file")
    say(f"\nWrote {shown}, and an example of a drift beside it. Next:")
    say(f"  make demo CONTRACT={shown} DATA_FILE={shlex.quote(data)}")


if __name__ == "__main__":
    run(main)
