"""The locks: one set of versions, with hashes, tied to no machine; and how they are installed."""

import re

import pytest

from mlstack.settings import ROOT
from requirements.install import pip_configuration, uv_environment

FOLDER = ROOT / "requirements"


def _pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", (FOLDER / lock).read_text()))


def test_what_runs_the_stack_has_the_same_versions_when_it_is_developed() -> None:
    embedded, dev = _pins("embedded.txt"), _pins("dev.txt")
    assert embedded.items() <= dev.items()


@pytest.mark.parametrize("lock", ["uv.txt", "embedded.txt", "dev.txt", "bench.txt"])
def test_every_package_is_locked_with_hashes(lock: str) -> None:
    text = (FOLDER / lock).read_text()
    blocks = re.split(r"(?m)^(?=[\w.-]+==)", text)[1:]
    assert blocks
    assert all("--hash=sha256:" in block for block in blocks)


@pytest.mark.parametrize("lock", ["uv.txt", "embedded.txt", "dev.txt", "bench.txt"])
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
