"""A part of a package is imported without the rest, and the package can be imported later."""

import importlib
import sys
from pathlib import Path

import pytest

from mlstack.quality import evidently_parts


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package whose own module counts how often it runs."""
    name = "some_large_package"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(
        "from some_large_package.part import RUNS\nRUNS.append(1)\n"
    )
    (tmp_path / name / "part.py").write_text("RUNS = []\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(evidently_parts, "_PACKAGE", name)
    return name


def test_part_is_imported_without_its_package(package: str) -> None:
    """The package's own module runs when it is imported itself, with the same part."""
    with evidently_parts.evidently_parts():
        part = importlib.import_module(f"{package}.part")
    assert part.RUNS == []
    assert package not in sys.modules
    assert importlib.import_module(package).RUNS is part.RUNS == [1]
    with evidently_parts.evidently_parts():
        assert importlib.import_module(f"{package}.part") is part
    assert package in sys.modules
