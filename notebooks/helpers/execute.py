"""Runs the notebooks on the synthetic sample and saves them with their output.

`make notebooks` does it after a change of a notebook or of what it calls; a test tells when
it was forgotten.
"""

import base64
import io
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

from mlstack.environments import OWN_VARIABLES
from mlstack.settings import ROOT

NOTEBOOKS = tuple(
    ROOT / name
    for name in (
        "notebooks/model_preparation_analysis/prepareData.ipynb",
        "notebooks/exploratory_data_analysis/exploratory_data_analysis.ipynb",
        "notebooks/model_preparation_analysis/model_train.ipynb",
    )
)
_CELL_SECONDS = 120
_COLOURS = 128
_KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def main() -> int:
    """Entry point of `make notebooks`."""
    for path in NOTEBOOKS:
        start = time.perf_counter()
        notebook = execute(path)
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
        seconds, size = time.perf_counter() - start, path.stat().st_size / 1000
        print(f"{path.relative_to(ROOT)}: {seconds:.0f} s, {size:.0f} kB")  # noqa: T201 - an answer
    return 0


def execute(path: Path, data_file: Path | None = None) -> NotebookNode:
    """Runs a notebook from its first cell to its last, in its own folder.

    Args:
        path: The notebook; it is not written to.
        data_file: The raw table; None: the synthetic sample, whatever the settings say, so
            that nobody's customers get into an output that is committed.

    Returns:
        The notebook with its output, and with nothing about the machine that it ran on.

    Raises:
        CellExecutionError: a cell raised; carries the cell and the trace.
    """
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    environment = {key: value for key, value in os.environ.items() if key not in OWN_VARIABLES}
    if data_file is not None:
        environment["DATA_FILE"] = str(data_file)
    client = NotebookClient(
        notebook,
        kernel_name=_KERNEL["name"],
        # The kernel listens on loopback and wants a key; that this is plain text is no news.
        extra_arguments=["--log-level=ERROR"],
        timeout=_CELL_SECONDS,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute(env=environment)
    notebook.metadata = {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            if png:
                output["data"]["image/png"] = _smaller(png)
    return notebook


def _smaller(png: str) -> str:
    """The same picture with a palette: a third of the size, and no difference to be seen."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    written = io.BytesIO()
    picture.quantize(_COLOURS).save(written, "PNG", optimize=True)
    return base64.b64encode(written.getvalue()).decode()


if __name__ == "__main__":
    sys.exit(main())
