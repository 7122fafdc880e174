"""Commands of the Makefile, images and compose files name modules that exist."""

import re
from pathlib import Path

import pytest

from mlstack.settings import ROOT

_MODULE = re.compile(r"""(?:-m["',]*|\$\(JOB\)|CHOOSE :=)\s+["']?([a-z_]+(?:\.[a-z_]+)+)""")
FILES = (
    ROOT / "Makefile",
    *sorted(ROOT.glob("docker-compose-*.yml")),
    *sorted(ROOT.glob("[a-z]*/**/Dockerfile*")),
)


def test_there_are_commands_to_check() -> None:
    found = {name for file in FILES for name in _MODULE.findall(file.read_text())}
    assert {"mlstack.with_environment", "operations.aws.init_aws", "server.serve_kinesis"} <= found
    assert {"server.deploy", "mlstack.probes"} <= found


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_name_existing_modules(file: Path) -> None:
    for name in _MODULE.findall(file.read_text()):
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), name
