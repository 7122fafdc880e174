"""What `make doctor` finds, and what it tells people to do about it."""

import os
import shutil
import socket
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mlstack.settings import ROOT, Settings
from operations.embedded import before_install, doctor
from operations.embedded.services import Service, all_services
from operations.machine import memory, ports
from operations.machine.findings import Finding, report

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


def test_a_holder_that_has_just_ended_is_no_error(
    listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(pid: int) -> psutil.Process:
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr(psutil, "Process", gone)
    assert ports.holding_process(listener) is None
    assert "another user's" in ports.holder(listener)


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


def test_a_missing_contract_is_told_as_people_named_it() -> None:
    settings = Settings(contract=Path("nowhere.yaml"))
    findings = {f.what: f.fault for f in doctor.examine(settings)}
    assert findings["contract"] == "CONTRACT=nowhere.yaml: there is no such file"


def test_a_broken_contract_is_found_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: 5")
    settings = Settings(contract=tmp_path / "mine.yaml")
    findings = {f.what: f.fault for f in doctor.examine(settings)}
    assert "mine.yaml" in str(findings["contract"])


def test_the_report_says_ok_or_what_to_do_and_whether_something_is_in_the_way() -> None:
    lines: list[str] = []
    findings = [Finding("disk", None), Finding("memory", "end what you can")]
    assert not report(findings, lines.append)
    assert lines == ["  ok  disk", "  NO  memory", "      end what you can"]
    assert report(findings[:1], lines.append)


def test_what_the_others_do_without_stands_in_nobody_s_way() -> None:
    lines: list[str] = []
    findings = [Finding("prometheus", "install it", optional=True)]
    assert report(findings, lines.append)
    assert lines == ["  --  prometheus", "      install it"]


def test_a_missing_prometheus_is_told_instead_of_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    findings = {f.what: f for f in doctor.examine(Settings())}
    assert findings["prometheus"].optional
    assert "apt-get install" in str(findings["prometheus"].fault)
    assert "port 9090 (prometheus)" not in findings


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
    free(monkeypatch, gib=2.5)
    assert before_install.too_little_disk(tmp_path, 2.4) is None
    assert "2.5 GiB are free where the project is, and 2.6 are needed: make room" in str(
        before_install.too_little_disk(tmp_path, 2.6)
    )


def test_what_was_installed_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, gib=before_install.RUN_GIB)
    findings = {f.what: f.fault for f in doctor.examine(Settings())}
    assert findings["disk"] is None


def test_the_readme_names_the_disk_that_is_asked_for() -> None:
    install, run = before_install.INSTALL_GIB, before_install.RUN_GIB
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{install + run:g} GiB of disk ({install:g} to install, {run:g} to run)" in readme


def free(monkeypatch: pytest.MonkeyPatch, gib: float) -> None:
    usage = namedtuple("usage", "free")  # noqa: PYI024 - as shutil's is
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(gib * 1024**3))


class TestMemory:
    """A container is ended at its limit, whatever the machine has left."""

    def available(self, cgroups: Path, listed: str) -> int:
        own = cgroups / "own"
        own.write_text(listed)
        return memory.available_bytes(cgroups, own)

    def group(self, folder: Path, names: tuple[str, str], limit: str, statistics: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / names[0]).write_text(f"{limit}\n")
        (folder / names[1]).write_text("700\n")
        (folder / "memory.stat").write_text(statistics)

    def test_no_limit_is_the_machine_s(self, tmp_path: Path) -> None:
        self.group(tmp_path / "a", ("memory.max", "memory.current"), "max", "inactive_file 1\n")
        assert self.available(tmp_path, "0::/a\n") > 10_000
        assert memory.available_bytes(tmp_path, tmp_path / "not_linux") > 10_000

    def test_version_2_of_a_group_around_ours(self, tmp_path: Path) -> None:
        names = "memory.max", "memory.current"
        self.group(tmp_path / "a/b", names, "5000", "anon 9\ninactive_file 100\n")
        self.group(tmp_path / "a", names, "1000", "anon 9\ninactive_file 100\n")
        assert self.available(tmp_path, "0::/a/b\n") == 1000 - 700 + 100

    def test_version_1_seen_from_within_a_container(self, tmp_path: Path) -> None:
        names = "memory.limit_in_bytes", "memory.usage_in_bytes"
        self.group(tmp_path / "memory", names, "1000", "inactive_file 9\ntotal_inactive_file 50\n")
        listed = "5:cpu,memory:/docker/abc\n1:name=systemd:/docker/abc\n"
        assert self.available(tmp_path, listed) == 1000 - 700 + 50

    def test_a_limit_that_is_passed_leaves_nothing(self, tmp_path: Path) -> None:
        self.group(tmp_path, ("memory.max", "memory.current"), "600", "")
        assert self.available(tmp_path, "0::/\n") == 0
