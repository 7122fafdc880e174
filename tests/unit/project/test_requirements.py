"""The locks: one set of versions, with hashes, tied to no machine; and how they are installed."""

import re

import pytest

from mlstack.settings import ROOT
from requirements.install import pip_configuration, uv_environment

FOLDER = ROOT / "requirements"
LOCKS = sorted(path.name for path in FOLDER.glob("*.txt"))


def _pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", (FOLDER / lock).read_text()))


def test_there_is_a_lock_for_every_image() -> None:
    for file in ROOT.glob("*/**/Dockerfile*"):
        if ".venv" not in file.parts:
            for lock in re.findall(r"(?m)^COPY .*requirements/(\w+\.txt)", file.read_text()):
                assert lock in LOCKS, file


@pytest.mark.parametrize("lock", sorted(set(LOCKS) - {"audit.txt", "dev.txt", "bench.txt"}))
def test_what_runs_has_the_same_versions_everywhere_and_when_it_is_developed(lock: str) -> None:
    assert _pins(lock).items() <= _pins("dev.txt").items()


def test_a_service_has_no_more_than_it_needs() -> None:
    """What is large, or tells the outside: only where it runs."""
    only_in = {
        "evidently": {"monitor.txt", "agent.txt"},
        "prefect": {"prefect.txt", "agent.txt"},
        "mlflow": {"mlflow.txt"},
    }
    of_services = set(LOCKS) - {"bench.txt", "dev.txt", "embedded.txt", "uv.txt"}
    for package, locks in only_in.items():
        assert {lock for lock in of_services if package in _pins(lock)} == locks


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_locked_with_hashes(lock: str) -> None:
    text = (FOLDER / lock).read_text()
    blocks = re.split(r"(?m)^(?=[\w.-]+==)", text)[1:]
    assert blocks
    assert all("--hash=sha256:" in block for block in blocks)


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_names_a_machine_or_an_index(lock: str) -> None:
    text = (FOLDER / lock).read_text()
    assert not re.search(r"https?://|file:|(?m:^\s*-[if] )|--(extra-)?index-url|--find-links", text)
    assert not re.search(r"[\s=]/\w+/", text)


def test_a_mirror_set_up_for_pip_is_handed_on_to_uv() -> None:
    listing = (
        "global.index-url='https://mirror.example/simple'\n"
        "global.extra-index-url='\\nhttps://one.example\\nhttps://two.example'\n"
        "global.timeout='60'\n"
    )
    told = uv_environment(pip_configuration(listing))
    assert told["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert told["UV_INDEX"] == "https://one.example https://two.example"


def test_pip_s_environment_variables_win_over_its_files_as_they_do_in_pip() -> None:
    listing = ":env:.index-url='https://env.example'\nglobal.index-url='https://file.example'\n"
    assert pip_configuration(listing)["index-url"] == "https://env.example"


def test_what_is_set_for_uv_itself_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example")
    assert "UV_DEFAULT_INDEX" not in uv_environment({"index-url": "https://pip.example"})
