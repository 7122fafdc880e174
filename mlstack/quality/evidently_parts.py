"""Import parts of Evidently without the package itself.

The package imports its user interface and its tools for texts and language models: five more
seconds and 90 MB in each process, none of which drift detection uses.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec

_PACKAGE = "evidently"


@contextmanager
def evidently_parts() -> Iterator[None]:
    """Within the block, submodules are imported without running the package's own module.

    A later import of the package runs it, with these submodules.
    """
    spec = None if _PACKAGE in sys.modules else find_spec(_PACKAGE)
    if spec is None:
        yield
        return
    sys.modules[_PACKAGE] = module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules[_PACKAGE]
