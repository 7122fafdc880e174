import hashlib
from pathlib import Path

import pytest

from mlstack.contract import Contract
from model_orchestration import provenance


def test_the_tags_say_data_contract_code_and_libraries(documented: Contract) -> None:
    tags = provenance.provenance(b"raw table", documented)
    assert tags["data_sha256"] == hashlib.sha256(b"raw table").hexdigest()
    assert tags["contract"] == documented.name
    assert tags["contract_digest"] == documented.digest
    assert {"git_revision", "version.python", "version.xgboost", "version.hyperopt"} <= tags.keys()


def test_a_given_revision_wins_over_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_REVISION", "v1.2.3")
    assert provenance.git_revision() == "v1.2.3"


def test_a_folder_without_git_has_an_unknown_revision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GIT_REVISION", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.git_revision() == "unknown"


def test_a_machine_without_git_has_an_unknown_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIT_REVISION", raising=False)
    monkeypatch.setenv("PATH", "")
    assert provenance.git_revision() == "unknown"
