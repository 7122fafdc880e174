"""What a doctor finds, and how it says so."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlstack.contract import Contract
from mlstack.errors import ContractError
from mlstack.settings import ROOT, Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    what: str
    fault: str | None
    """What is wrong and what to do; None: nothing."""
    optional: bool = False
    """The rest does without it."""


def report(findings: Iterable[Finding], say: Callable[[str], None]) -> bool:
    """Says each finding; returns whether nothing stands in the way."""
    fine = True
    for finding in findings:
        verdict = "ok" if finding.fault is None else "--" if finding.optional else "NO"
        say(f"  {verdict:<3} {finding.what}")
        if finding.fault is not None:
            fine = fine and finding.optional
            say(f"      {finding.fault}")
    return fine


def bad_contract(settings: Settings) -> str | None:
    """What is wrong with the files that `CONTRACT` and `DATA_FILE` name; None: nothing."""
    if not settings.contract_path.is_file():
        return f"CONTRACT={settings.contract}: there is no such file"
    try:
        Contract.load(settings.contract_path)
    except ContractError as error:
        return str(error)
    if settings.data_file is not None and not (ROOT / settings.data_file).is_file():
        return f"DATA_FILE={settings.data_file}: there is no such file"
    return None
