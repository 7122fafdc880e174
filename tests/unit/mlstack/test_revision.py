from pathlib import Path

import pytest

from mlstack import revision
from mlstack.revision import git_revision


def test_given_revision_wins_over_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_REVISION", "v1.2.3")
    assert git_revision() == "v1.2.3"


def test_folder_without_git_has_unknown_revision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GIT_REVISION", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(revision, "ROOT", tmp_path)
    assert git_revision() == "unknown"


def test_machine_without_git_has_unknown_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIT_REVISION", raising=False)
    monkeypatch.setenv("PATH", "")
    assert git_revision() == "unknown"
