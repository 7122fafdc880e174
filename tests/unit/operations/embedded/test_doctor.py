"""The checks of `make doctor` for the embedded environment, and its report."""

import os
import shutil
import socket
import sys
from collections import namedtuple
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest

from mlstack import machine_memory as memory
from mlstack.probes import Answer
from mlstack.settings import ROOT, Settings
from operations.embedded import checks
from operations.embedded.service import Service
from operations.embedded.services import all_services
from operations.errors import StackError
from operations.install import before_install
from operations.machine import ports
from operations.machine.findings import Finding, report
from tests.support.aws import KEYS

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
    return Service(
        name="x",
        group="g",
        command=("x",),
        probe=lambda: Answer(ready=True, detail=""),
        port=port,
        port_variable="API_PORT",
    )


@pytest.mark.parametrize("name", ["R&D #1 (Zürich)", "a+b@c~d,e=f!", "Üñï 数据", "e\u0301"])
def test_unusual_folder_is_fine(name: str, tmp_path: Path) -> None:
    assert before_install.path_fault(tmp_path / name) is None


def test_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sudo git clone` once, and then make without sudo."""
    assert before_install.access_fault(tmp_path) is None
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert f"you may not write to the folder {tmp_path}" in str(
        before_install.access_fault(tmp_path)
    )


@pytest.mark.parametrize("sign", [*";%$:\"'`\\*?[]{}<>|", "\n", "\t", "\udcff"])
def test_folder_with_unsafe_sign_is_refused(sign: str, tmp_path: Path) -> None:
    """In one sentence, which names folder and sign, and can be printed."""
    fault = str(before_install.path_fault(tmp_path / f"a{sign}b"))
    assert "\n" not in fault
    assert fault.encode()
    assert f"has {sign if sign.isprintable() else ascii(sign)[1:-1]} in it" in fault


def test_taken_port_names_holder_and_alternative(listener: int) -> None:
    fault = checks.port_fault(_service(listener), own_pids=set())
    assert fault is not None
    assert f"process {os.getpid()} (" in fault
    suggested = int(fault.rpartition("make demo API_PORT=")[2])
    assert ports.is_free("127.0.0.1", suggested)


def test_port_of_own_service_is_fine(listener: int) -> None:
    assert checks.port_fault(_service(listener), own_pids={os.getpid()}) is None


def test_free_port_is_fine(listener: int) -> None:
    free = ports.next_free("127.0.0.1", listener)
    assert free is not None
    assert checks.port_fault(_service(free), own_pids=set()) is None


def test_port_holder_may_end_meanwhile(listener: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(pid: int) -> psutil.Process:
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr(psutil, "Process", gone)
    assert ports.holding_process(listener) is None
    assert "another user's" in ports.holder(listener)


def test_services_on_same_port_are_found() -> None:
    services = all_services(Settings(mlflow_port=9000, prefect_port=9000))
    assert "MLFLOW_PORT and PREFECT_PORT" in str(checks.shared_ports_fault(services))
    assert checks.shared_ports_fault(all_services(Settings())) is None


def test_bind_address_must_include_loopback() -> None:
    assert checks.address_fault("127.0.0.1") is None
    assert checks.address_fault("0.0.0.0") is None
    assert "BIND_ADDRESS=127.0.0.1" in str(checks.address_fault("10.1.2.3"))


def test_packages_of_lock_are_fine() -> None:
    installed = {"boto3": "1.44.5", "types-cased": "2.0b1"}
    assert checks.wrong_packages(LOCK, installed) == []


def test_missing_and_other_versions_are_named() -> None:
    installed = {"boto3": "1.0"}
    wrong = checks.wrong_packages(LOCK, installed)
    assert wrong == ["boto3 is 1.0, not ==1.44.5", "Types_Cased is missing"]


def test_missing_data_file_is_found() -> None:
    findings = {f.what: f.fault for f in checks.examine(Settings(data_file=Path("nowhere.csv")))}
    assert "DATA_FILE=nowhere.csv" in str(findings["contract"])


def test_bad_table_is_found_before_anything_starts(tmp_path: Path) -> None:
    """C1: the doctor and the demo, which asks it first, name the cause in one sentence."""
    table = tmp_path / "mine.csv"
    table.write_bytes(b"PK\x03\x04" + b"\0" * 26 + b"xl/workbook.xml")
    findings = {f.what: f for f in checks.examine(Settings(data_file=table))}
    assert str(findings["table"].fault).endswith(
        "mine.csv cannot be used: the file is an Excel workbook, not a CSV file: save it as "
        "'CSV UTF-8'"
    )
    assert not findings["table"].optional


def test_missing_contract_is_named_as_given() -> None:
    settings = Settings(contract=Path("nowhere.yaml"))
    findings = {f.what: f.fault for f in checks.examine(settings)}
    assert findings["contract"] == "CONTRACT=nowhere.yaml: there is no such file"


def test_broken_contract_is_found(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: 5")
    settings = Settings(contract=tmp_path / "mine.yaml")
    findings = {f.what: f.fault for f in checks.examine(settings)}
    assert "mine.yaml" in str(findings["contract"])


@pytest.mark.parametrize(
    ("finding", "fine", "lines"),
    [
        (Finding("disk", None), True, ["  ok  disk"]),
        (Finding("memory", "end programs"), False, ["  NO  memory", "      end programs"]),
        (Finding("nginx", "install it", optional=True), True, ["  --  nginx", "      install it"]),
    ],
)
def test_report_prints_verdict_and_advice(
    finding: Finding, lines: list[str], capsys: pytest.CaptureFixture[str], *, fine: bool
) -> None:
    """The report says ok or what to do; only what is not optional stands in the way."""
    with nullcontext() if fine else pytest.raises(StackError, match="see the lines marked NO"):
        report([finding])
    assert capsys.readouterr().out.splitlines() == lines


def test_missing_program_is_named_without_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    findings = {f.what: f for f in checks.examine(Settings())}
    for name, port in (("prometheus", 9090), ("alertmanager", 9093)):
        assert findings[name].optional
        assert "apt-get install" in str(findings[name].fault)
        assert f"port {port} ({name})" not in findings


@pytest.mark.parametrize(("version", "fine"), [((3, 10), False), ((3, 11), True), ((3, 14), False)])
def test_unsupported_python_is_refused(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int], *, fine: bool
) -> None:
    info = namedtuple("info", "major minor micro")  # noqa: PYI024 - as sys.version_info is
    monkeypatch.setattr(sys, "version_info", info(*version, 0))
    fault = before_install.python_fault()
    assert (fault is None) == fine
    if fault is not None:
        assert "3.11 to 3.13" in fault


def test_disk_fault_says_how_much_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    free(monkeypatch, gib=2.5)
    assert before_install.disk_fault(tmp_path, 2.4) is None
    assert "only 2.5 GiB free on the project's disk, 2.6 needed: free some space" in str(
        before_install.disk_fault(tmp_path, 2.6)
    )


def test_doctor_asks_no_disk_for_installed_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, gib=before_install.RUN_GIB)
    findings = {f.what: f.fault for f in checks.examine(Settings())}
    assert findings["disk"] is None


def test_readme_names_needed_disk() -> None:
    install, run = before_install.INSTALL_GIB, before_install.RUN_GIB
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{install + run:g} GiB of disk ({install:g} to install, {run:g} to run)" in readme


def free(monkeypatch: pytest.MonkeyPatch, gib: float) -> None:
    usage = namedtuple("usage", "free")  # noqa: PYI024 - as shutil's is
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(gib * 1024**3))


class TestMemory:
    """A container is ended at its limit, even when the machine has memory left."""

    def available(self, cgroups: Path, listed: str) -> int:
        own = cgroups / "own"
        own.write_text(listed)
        return memory.available_bytes(cgroups, own)

    def group(self, folder: Path, names: tuple[str, str], limit: str, statistics: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / names[0]).write_text(f"{limit}\n")
        (folder / names[1]).write_text("700\n")
        (folder / "memory.stat").write_text(statistics)

    def test_unlimited_group_has_memory_of_machine(self, tmp_path: Path) -> None:
        self.group(tmp_path / "a", ("memory.max", "memory.current"), "max", "inactive_file 1\n")
        assert self.available(tmp_path, "0::/a\n") > 10_000
        assert memory.available_bytes(tmp_path, tmp_path / "not_linux") > 10_000

    def test_limit_of_outer_group_counts_in_version_2(self, tmp_path: Path) -> None:
        names = "memory.max", "memory.current"
        self.group(tmp_path / "a/b", names, "5000", "anon 9\ninactive_file 100\n")
        self.group(tmp_path / "a", names, "1000", "anon 9\ninactive_file 100\n")
        assert self.available(tmp_path, "0::/a/b\n") == 1000 - 700 + 100

    def test_version_1_is_read_inside_container(self, tmp_path: Path) -> None:
        names = "memory.limit_in_bytes", "memory.usage_in_bytes"
        self.group(tmp_path / "memory", names, "1000", "inactive_file 9\ntotal_inactive_file 50\n")
        listed = "5:cpu,memory:/docker/abc\n1:name=systemd:/docker/abc\n"
        assert self.available(tmp_path, listed) == 1000 - 700 + 50

    def test_exceeded_limit_leaves_nothing(self, tmp_path: Path) -> None:
        self.group(tmp_path, ("memory.max", "memory.current"), "600", "")
        assert self.available(tmp_path, "0::/\n") == 0


def test_table_in_s3_waits_for_its_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before S3 has started, a table in it is no reason to start nothing."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    settings = Settings.model_validate({"data_file": "s3://bucket/key"})
    finding = {f.what: f for f in checks.examine(settings)}["table"]
    assert finding.fault == "DATA_FILE=s3://bucket/key: make init_aws examines it"
    assert finding.optional
