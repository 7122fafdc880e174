"""Imports go one way: services -> shared packages -> libraries."""

import ast
from collections.abc import Iterator

from mlstack.settings import ROOT

SHARED = {"mlstack", "flows", "machine"}
# Walks through the services, starts them, measures them, or shows what they do.
MAY_IMPORT_SERVICES = {"embedded", "drift_demo", "benchmarks", "analysis", "tests"}

PACKAGES = {path.relative_to(ROOT).parts[0] for path in ROOT.glob("[a-z]*/**/__init__.py")}


def _imports(package: str) -> Iterator[tuple[str, str]]:
    """File and package of every import of one of ours, wherever in the file it stands."""
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            elif isinstance(node, ast.Import):
                modules = [name.name for name in node.names]
            for module in modules:
                imported = module.partition(".")[0]
                if imported in PACKAGES - {package}:
                    yield str(path.relative_to(ROOT)), imported


def test_no_service_imports_another() -> None:
    found = {
        each
        for package in PACKAGES - MAY_IMPORT_SERVICES
        for each in _imports(package)
        if each[1] not in SHARED
    }
    assert found == set()


def test_the_library_imports_nothing_of_ours_and_the_other_shared_packages_it_alone() -> None:
    assert set(_imports("mlstack")) == set()
    assert {imported for package in SHARED for _, imported in _imports(package)} == {"mlstack"}
