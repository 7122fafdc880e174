"""Imports go one way: operations -> services -> mlstack, and inside mlstack down its list."""

import ast
from collections.abc import Iterator

from mlstack.settings import ROOT

SERVICES = {"model_orchestration", "monitoring", "reporting", "server", "simulation_business"}
# These start the services, measure them or show what they do.
MAY_IMPORT_SERVICES = {"operations", "benchmarks", "notebooks", "tests"}

# Packages of mlstack, lowest first; its own modules are the base that all of them may import.
LAYERS = (
    "contract",
    "data",
    "model",
    "prediction_log",
    "deployment",
    "quality",
    "web",
    "streams",
    "flows",
)


def _imports(folder: str) -> Iterator[tuple[str, str]]:
    """File and module of every import in a folder, wherever it is in the file."""
    for path in (ROOT / folder).rglob("*.py"):
        file = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                for name in node.names:
                    yield file, f"{node.module}.{name.name}"
            elif isinstance(node, ast.Import):
                for name in node.names:
                    yield file, name.name


def test_every_package_is_in_a_list() -> None:
    folders = {path.relative_to(ROOT).parts[0] for path in ROOT.glob("[a-z]*/**/__init__.py")}
    assert folders <= SERVICES | MAY_IMPORT_SERVICES | {"mlstack"}
    assert {path.parent.name for path in ROOT.glob("mlstack/*/__init__.py")} == set(LAYERS)


def test_no_service_imports_another() -> None:
    others = dict.fromkeys(SERVICES, SERVICES | MAY_IMPORT_SERVICES)
    found = {
        each
        for folder, not_these in others.items()
        for each in _imports(folder)
        if each[1].partition(".")[0] in not_these - {folder}
    }
    assert found == set()


def test_mlstack_imports_no_service() -> None:
    above = SERVICES | MAY_IMPORT_SERVICES
    assert {each for each in _imports("mlstack") if each[1].partition(".")[0] in above} == set()


def test_mlstack_packages_import_down_their_list() -> None:
    found = set()
    for file, module in _imports("mlstack"):
        importer = file.split("/")[1]
        here = LAYERS.index(importer) if importer in LAYERS else -1
        imported = module.split(".")[1] if module.startswith("mlstack.") else ""
        if imported in LAYERS and LAYERS.index(imported) > here:
            found.add((file, module))
    assert found == set()
