"""Installing packages: only what says where they come from has an effect."""

import os
import subprocess
import sys
from pathlib import Path

import certifi
import pytest

from mlstack.settings import ROOT
from operations.install import packages
from operations.install.packages import _read_configuration, installer_environment
from tests.support.hostile_environment import STEERING

MIRROR = "https://mirror.example/simple"


def _environment(configuration: str = "", **caller: str) -> dict[str, str]:
    return installer_environment(caller, lambda _: configuration)[0]


def test_pip_and_uv_use_the_configured_mirror() -> None:
    told = _environment(
        f"global.index-url='{MIRROR}'\n"
        "global.extra-index-url='\\nhttps://one.example\\nhttps://two.example'\n"
        "global.timeout='60'\n"
    )
    assert told["PIP_INDEX_URL"] == told["UV_DEFAULT_INDEX"] == MIRROR
    assert (
        told["PIP_EXTRA_INDEX_URL"] == told["UV_INDEX"] == "https://one.example https://two.example"
    )
    assert told["PIP_TIMEOUT"] == "60"


def test_pips_variables_override_its_files() -> None:
    listing = ":env:.index-url='https://env.example'\nglobal.index-url='https://file.example'\n"
    assert _environment(listing)["UV_DEFAULT_INDEX"] == "https://env.example"


def test_settings_for_uv_itself_are_kept() -> None:
    told = _environment(f"global.index-url='{MIRROR}'", UV_DEFAULT_INDEX="https://uv.example")
    assert told["UV_DEFAULT_INDEX"] == "https://uv.example"


def test_files_of_pip_cannot_install_elsewhere() -> None:
    """`pip config set install.user true` and the like."""
    told = _environment("install.user='true'\nglobal.target='/elsewhere'\nglobal.no-binary=':all:'")
    assert told["PIP_CONFIG_FILE"] == os.devnull
    assert not {"PIP_USER", "PIP_TARGET", "PIP_NO_BINARY"} & told.keys()


def test_no_index_counts_where_there_is_another_source() -> None:
    assert "PIP_NO_INDEX" not in _environment(":env:.no-index='1'")
    told = _environment(":env:.no-index='1'\n:env:.find-links='/wheels'")
    assert (told["PIP_NO_INDEX"], told["PIP_FIND_LINKS"]) == ("1", "/wheels")


@pytest.mark.parametrize("name", sorted(STEERING))
def test_installation_ignores_variable(name: str) -> None:
    """One at a time, none reaches pip or uv."""
    assert _environment(**{name: STEERING[name]}).get(name) != STEERING[name]


def test_pip_itself_starts_in_any_environment() -> None:
    """And still reads where packages come from."""
    hostile = {**STEERING, "PIP_CONFIG_FILE": "/nonexistent", "PIP_PROXY": "socks5://127.0.0.1:1"}
    given = {**hostile, "PATH": os.environ["PATH"], "PIP_INDEX_URL": MIRROR}
    told, ignored = installer_environment(given, _read_configuration)
    assert told["PIP_INDEX_URL"] == MIRROR
    assert [sentence.split()[0] for sentence in ignored] == ["PIP_PROXY"]


def test_way_out_keeps_its_purpose() -> None:
    proxy = "http://proxy.example:3128"
    told = _environment(https_proxy=proxy, SSL_CERT_FILE=certifi.where())
    assert told["https_proxy"] == proxy
    assert told["SSL_CERT_FILE"] == certifi.where()


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Environments of an installation's commands, which all fail, in their order."""
    seen: list[dict[str, str]] = []

    def run(command: list[str], env: dict[str, str], **_: object) -> object:
        seen.append(dict(env))
        return subprocess.CompletedProcess(command, 1, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return seen


def test_commands_get_this_environment(
    commands: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_TARGET", str(tmp_path))
    with pytest.raises(SystemExit, match="could not be installed"):
        packages.main([Path("requirements/core.txt")])
    assert len(commands) == 3
    assert all("PIP_TARGET" not in environment for environment in commands)


def test_index_is_asked_if_other_source_lacks_packages(
    commands: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PIP_NO_INDEX may have been exported for something else."""
    told = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
    monkeypatch.setattr(packages, "installer_environment", lambda *_: (told, ()))
    with pytest.raises(SystemExit):
        packages.main([Path("requirements/core.txt")])
    assert ["PIP_NO_INDEX" in environment for environment in commands] == [True] * 2 + [False] * 2


def test_module_runs_without_any_package() -> None:
    """A new virtual environment has none."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import operations.install.packages"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
