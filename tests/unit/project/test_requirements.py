"""The locks: one set of versions, with hashes, tied to no machine."""

import re
import tomllib

import pytest

from mlstack.settings import ROOT

FOLDER = ROOT / "requirements"
LOCKS = sorted(path.name for path in FOLDER.glob("*.txt"))
PEERS = sorted(f"peers/{path.name}" for path in FOLDER.glob("peers/*"))

OPTIONAL = {"dask.txt", "postgresql.txt"}
"""Locks of what EXTRA_PACKAGES names."""


def _pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", (FOLDER / lock).read_text()))


def test_every_lock_is_compiled_from_a_group() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert {lock.removesuffix(".txt") for lock in LOCKS} <= groups.keys()
    peers = {lock.replace("peers/", "peer-").removesuffix(".txt") for lock in PEERS}
    assert peers == {group for group in groups if group.startswith("peer-")}


def test_every_image_has_its_locks() -> None:
    dockerfiles = [
        path
        for path in ROOT.glob("[a-z]*/**/Dockerfile*")
        if "tests" not in path.relative_to(ROOT).parts
    ]
    assert len(dockerfiles) == 10
    for file in dockerfiles:
        text = file.read_text()
        copied = set(re.findall(r"requirements/([\w-]+\.txt)", text))
        installed = {f"{lock}.txt" for lock in re.findall(r"image_packages\.sh ([\w-]+)", text)}
        optional = OPTIONAL & copied if "$EXTRA_PACKAGES" in text else set()
        assert copied == installed | optional | {"uv.txt"}, file
        assert copied <= set(LOCKS), file


@pytest.mark.parametrize("lock", sorted(set(LOCKS) - {"audit.txt", "dev.txt", "bench.txt"}))
def test_services_run_the_versions_of_development(lock: str) -> None:
    assert _pins(lock).items() <= _pins("dev.txt").items()


def test_services_have_no_more_than_they_need() -> None:
    """Packages that are large, or tell outsiders about their use, are only where they run."""
    only_in = {
        "evidently": {"monitor.txt", "agent.txt"},
        "prefect": {"prefect.txt", "agent.txt"},
        "mlflow": {"mlflow.txt"},
        "duckdb": {"agent.txt", "aws.txt", "operate.txt"},
        "xgboost-cpu": {"agent.txt", "api.txt", "dask.txt"},
        "distributed": {"dask.txt"},
        "onnx": {"agent.txt"},
    }
    of_services = set(LOCKS) - {"bench.txt", "dev.txt", "embedded.txt", "uv.txt"}
    for package, locks in only_in.items():
        assert {lock for lock in of_services if package in _pins(lock)} == locks


@pytest.mark.parametrize("lock", [*LOCKS, *PEERS])
def test_every_package_is_locked_with_hashes(lock: str) -> None:
    text = (FOLDER / lock).read_text()
    blocks = re.split(r"(?m)^(?=[\w.-]+==)", text)[1:]
    assert blocks
    assert all("--hash=sha256:" in block for block in blocks)


@pytest.mark.parametrize("lock", [*LOCKS, *PEERS])
def test_no_lock_names_a_machine_or_an_index(lock: str) -> None:
    text = (FOLDER / lock).read_text()
    assert not re.search(r"https?://|file:|(?m:^\s*-[if] )|--(extra-)?index-url|--find-links", text)
    assert not re.search(r"[\s=]/\w+/", text)
