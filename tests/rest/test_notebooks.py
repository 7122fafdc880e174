"""The notebooks run to their end, and their committed output is that of the sample."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from mlstack.contract import Contract
from mlstack.settings import ROOT
from notebooks.helpers.execute import NOTEBOOKS, execute
from tests.support.project_copy import project_copy
from tests.support.real_data import real_table

MAX_BYTES = 400_000
# Figures may differ in their last digits from one processor to another.
NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?%?")
ABSOLUTE_PATH = re.compile(r"(?<![\w.<:])/[A-Za-z]\w*/\w")

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: str(path.stem))


def _read(path: Path) -> NotebookNode:
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # it has no types
    return notebook


def _outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def _text(notebook: NotebookNode) -> str:
    """Join a notebook's text output."""
    return "\n".join(
        output.text
        if output.output_type == "stream"
        else output.data["text/plain"]
        if "text/markdown" not in output.data
        else output.data["text/markdown"]
        for output in _outputs(notebook)
    )


def _words(notebook: NotebookNode) -> list[str]:
    return NUMBER.sub("#", _text(notebook)).split()


def _pictures(notebook: NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in _outputs(notebook))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: str(path.stem))
def committed(request: pytest.FixtureRequest) -> NotebookNode:
    """A notebook as it is committed."""
    return _read(request.param)


def test_make_notebooks_runs_every_notebook() -> None:
    """No notebook of the project is left out."""
    found = {p for p in ROOT.glob("notebooks/*/*.ipynb") if ".ipynb_checkpoints" not in p.parts}
    assert found == set(NOTEBOOKS)


def test_committed_cells_were_all_run_in_order(committed: NotebookNode) -> None:
    """None raised, and none wrote to stderr."""
    code = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for o in _outputs(committed) if o.output_type == "error"]
    assert not [o for o in _outputs(committed) if o.get("name") == "stderr"]


def test_committed_output_is_of_the_sample(committed: NotebookNode, documented: Contract) -> None:
    """It names the digest of the sample as it is now."""
    sample = str(documented.data.sample)
    digest = hashlib.sha256((ROOT / sample).read_bytes()).hexdigest()
    assert f"The synthetic sample {sample} (SHA-256 {digest[:16]}...)" in _text(committed)
    assert _pictures(committed) >= 2


@each
def test_notebook_is_small(path: Path) -> None:
    """Pictures do not swell the repository."""
    assert path.stat().st_size < MAX_BYTES


def test_output_names_no_path_of_a_machine(committed: NotebookNode) -> None:
    """Neither output nor metadata tell where it was run."""
    for output in _outputs(committed):
        for kind, text in output.get("data", {"text/plain": output.get("text")}).items():
            assert kind == "image/png" or not ABSOLUTE_PATH.search(text)
    assert set(committed.metadata) == {"kernelspec", "language_info"}
    assert not [cell.metadata for cell in committed.cells if cell.metadata]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the project after `make notebooks`."""
    with project_copy(tmp_path_factory.mktemp("notebooks")) as copy:
        done = copy.make("notebooks")
        assert done.returncode == 0, done.stdout
        yield copy.folder


@each
def test_make_notebooks_gives_the_committed_output(made: Path, path: Path) -> None:
    """When this fails, the notebook or what it calls has changed: run `make notebooks`."""
    kept, run = _read(path), _read(made / path.relative_to(ROOT))
    assert _words(run) == _words(kept)
    assert _pictures(run) == _pictures(kept)


@each
def test_notebook_runs_on_another_table(path: Path) -> None:
    """DATA_FILE names the table."""
    table = real_table()
    if table is None:
        pytest.skip("the real table is not here: name it with DATA_FILE")
    run = execute(path, data_file=table)
    assert f"The table is {table.name}" in _text(run)
    assert _pictures(run) >= 2
