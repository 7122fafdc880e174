"""Run the notebooks on the synthetic sample and save them with their output.

Run `make notebooks` after changing a notebook or code that it calls; otherwise a test fails.
"""

import base64
import io
import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

from mlstack.command_line import run, say
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


def main() -> None:
    """Run all notebooks: `make notebooks`."""
    for path in NOTEBOOKS:
        start = time.perf_counter()
        notebook = execute(path)
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
        seconds, size = time.perf_counter() - start, path.stat().st_size / 1000
        say(f"{path.relative_to(ROOT)}: {seconds:.0f} s, {size:.0f} kB")


def execute(path: Path, data_file: Path | None = None) -> NotebookNode:
    """Run a notebook in its own folder, without changing the file.

    Without a `data_file` it uses the synthetic sample, regardless of the settings, so that no real
    customer gets into committed output.

    Returns:
        The notebook with its output, without anything specific to this machine.

    Raises:
        CellExecutionError: a cell raised; contains the cell and the traceback.
    """
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    environment = {key: value for key, value in os.environ.items() if key not in OWN_VARIABLES}
    if data_file is not None:
        environment["DATA_FILE"] = str(data_file)
    client = NotebookClient(
        notebook,
        kernel_name=_KERNEL["name"],
        # Hide the warning about an unencrypted connection: the kernel is on loopback and needs a
        # key.
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
    """Reduce a picture to a palette: a third of the size, no visible difference."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    written = io.BytesIO()
    picture.quantize(_COLOURS).save(written, "PNG", optimize=True)
    return base64.b64encode(written.getvalue()).decode()


if __name__ == "__main__":
    run(main)
