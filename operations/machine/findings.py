"""Findings about this machine, and the checks that both environments share."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

from mlstack import machine_memory
from mlstack.command_line import say
from mlstack.contract import Contract
from mlstack.errors import ContractError, MlstackError, StoreUnreachable
from mlstack.s3_address import S3Address
from mlstack.settings import ROOT, Settings
from operations.errors import StackError

_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Args:
        what: What was checked.
        fault: What is wrong and what to do; None if nothing is.
        optional: Whether the stack runs without it.
    """

    what: str
    fault: str | None
    optional: bool = False


def report(findings: Iterable[Finding]) -> None:
    """Print each finding; raise StackError at the end if a required check failed."""
    fine = True
    for finding in findings:
        verdict = "ok" if finding.fault is None else "--" if finding.optional else "NO"
        say(f"  {verdict:<3} {finding.what}")
        if finding.fault is not None:
            fine = fine and finding.optional
            say(indent(finding.fault, " " * 6))
    if not fine:
        raise StackError("Some checks failed; see the lines marked NO.")


def contract_fault(settings: Settings) -> str | None:
    """Return what is wrong with the files in `CONTRACT` and `DATA_FILE`."""
    if not settings.contract_path.is_file():
        return f"CONTRACT={settings.contract}: there is no such file"
    try:
        Contract.load(settings.contract_path)
    except ContractError as error:
        return str(error)
    source = settings.data_file
    if isinstance(source, Path) and not (ROOT / source).exists():
        return f"DATA_FILE={source}: there is no such file"
    return None


def table_finding(settings: Settings, *, reaches_s3: bool) -> Finding:
    """Return whether training would refuse the table in `DATA_FILE`.

    Some environments do not reach S3 from here, or not before it has started. There `make init_aws`
    examines the table, before it replaces another one.
    """
    source = settings.data_file
    if source is None or contract_fault(settings) is not None:
        return Finding("table", None)
    later = Finding("table", f"DATA_FILE={source}: make init_aws examines it", optional=True)
    if isinstance(source, S3Address) and not reaches_s3:
        return later
    # pandas and boto3 take a second to load, and most commands do not need them.
    from mlstack.data.dataset import check_table  # noqa: PLC0415 - see above
    from mlstack.data.table_source import read_source  # noqa: PLC0415 - see above

    contract = Contract.load(settings.contract_path)
    try:
        check_table(read_source(source), contract, f"DATA_FILE={source}")
    except StoreUnreachable:
        return later
    except MlstackError as error:
        return Finding("table", str(error))
    return Finding("table", None)


def memory_fault(needed_gib: float, own_bytes: int = 0) -> str | None:
    """Return a fault if there is too little memory.

    `own_bytes`, which the stack already uses, count as available.
    """
    available = (machine_memory.available_bytes() + own_bytes) / _GIB
    if available >= needed_gib:
        return None
    return f"only {available:.1f} GiB available, {needed_gib:g} needed: stop other programs"
