"""What `make doctor` finds, and what it tells people to do about it."""

import os
import socket
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded import before_install, doctor, ports
from embedded.services import Service, all_services
from mlstack.settings import Settings

LOCK = """\
# made by a tool
boto3==1.44.5 \\
    --hash=sha256:aa
    # via -r library.in
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:bb
Types_Cased==2.0b1 \\
    --hash=sha256:cc
"""


@pytest.fixture
def listener() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def _service(port: int) -> Service:
    return Service(name="x", group="g", command=("x",), port=port, port_variable="API_PORT")


def test_a_taken_port_names_its_holder_and_how_to_choose_another(listener: int) -> None:
    fault = doctor.taken_port(_service(listener), own_pids=set())
    assert fault is not None
    assert f"process {os.getpid()} (" in fault
    suggested = int(fault.rpartition("make demo API_PORT=")[2])
    assert ports.is_free("127.0.0.1", suggested)


def test_a_port_that_our_own_service_holds_is_fine(listener: int) -> None:
    assert doctor.taken_port(_service(listener), own_pids={os.getpid()}) is None


def test_a_free_port_is_fine(listener: int) -> None:
    free = ports.next_free("127.0.0.1", listener)
    assert free is not None
    assert doctor.taken_port(_service(free), own_pids=set()) is None


def test_two_services_on_one_port_are_found() -> None:
    services = all_services(Settings(mlflow_port=9000, prefect_port=9000))
    assert "MLFLOW_PORT and PREFECT_PORT" in str(doctor.shared_ports(services))
    assert doctor.shared_ports(all_services(Settings())) is None


def test_an_address_at_which_the_services_can_not_find_each_other_is_refused() -> None:
    assert doctor.wrong_address("127.0.0.1") is None
    assert doctor.wrong_address("0.0.0.0") is None  # noqa: S104
    assert "BIND_ADDRESS=127.0.0.1" in str(doctor.wrong_address("10.1.2.3"))


def test_packages_that_match_the_lock_are_fine() -> None:
    installed = {"boto3": "1.44.5", "types-cased": "2.0b1"}
    assert doctor.missing_packages(LOCK, lambda name: installed.get(name)) == []  # noqa: PLW0108


def test_missing_and_other_versions_are_named() -> None:
    installed = {"boto3": "1.0"}
    wrong = doctor.missing_packages(LOCK, lambda name: installed.get(name))  # noqa: PLW0108
    assert wrong == ["boto3 is 1.0, not ==1.44.5", "Types_Cased is missing"]


def test_a_missing_data_file_is_found_before_anything_starts() -> None:
    findings = {f.what: f.fault for f in doctor.examine(Settings(data_file=Path("nowhere.csv")))}
    assert "DATA_FILE=nowhere.csv" in str(findings["contract"])


def test_a_broken_contract_is_found_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: 5")
    settings = Settings(contract=tmp_path / "mine.yaml")
    findings = {f.what: f.fault for f in doctor.examine(settings)}
    assert "mine.yaml" in str(findings["contract"])


def test_the_report_says_ok_or_what_to_do_and_whether_something_is_in_the_way() -> None:
    lines: list[str] = []
    findings = [doctor.Finding("disk", None), doctor.Finding("memory", "end what you can")]
    assert not doctor.report(findings, lines.append)
    assert lines == ["  ok  disk", "  NO  memory", "      end what you can"]
    assert doctor.report(findings[:1], lines.append)


@pytest.mark.parametrize(("version", "fine"), [((3, 10), False), ((3, 11), True), ((3, 14), False)])
def test_only_a_python_that_everything_runs_on_is_taken(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int], *, fine: bool
) -> None:
    info = namedtuple("info", "major minor micro")  # noqa: PYI024 - as sys.version_info is
    monkeypatch.setattr(sys, "version_info", info(*version, 0))
    fault = before_install.wrong_python()
    assert (fault is None) == fine
    if fault is not None:
        assert "3.11 to 3.13" in fault


def test_too_little_disk_says_how_much_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert before_install.too_little_disk(tmp_path) is None
    monkeypatch.setattr(before_install, "FREE_DISK_GIB", 1e9)
    assert "are needed: make room" in str(before_install.too_little_disk(tmp_path))
