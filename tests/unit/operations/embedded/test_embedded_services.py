"""The embedded services, their launch orders, and the AWS emulator."""

import threading
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from moto.kinesis.models import Shard

from mlstack.settings import Settings
from operations.embedded import dask_services
from operations.embedded.aws_emulator import OneAtATime, last_sequence_number
from operations.embedded.orders import Order
from operations.embedded.service import GROUPS
from operations.embedded.services import all_services
from operations.embedded.stack import EmbeddedStack
from operations.errors import StackError

ACTIVE = {"RUN_ID": "a" * 32, "TRAIN_TRIALS": "50", "AWS_ACCESS_KEY_ID": "embedded"}


def test_services_have_group_and_port_variable() -> None:
    services = all_services(Settings())
    assert {service.group for service in services} == set(GROUPS)
    assert len({service.name for service in services}) == len(services)
    for service in services:
        assert (service.port == 0) == (service.port_variable == "")


def test_services_without_login_stay_on_loopback() -> None:
    """The AWS emulator and MongoDB's stand-in have no login."""
    open_to_all = Settings(bind_address="0.0.0.0")
    listening = {service.name: service.host for service in all_services(open_to_all)}
    assert {listening["aws"], listening["mongo"]} == {"127.0.0.1"}
    assert "0.0.0.0" not in " ".join(
        argument
        for service in all_services(open_to_all)
        if service.name in ("aws", "mongo")
        for argument in service.command
    )


def test_dask_cluster_is_there_if_searches_train_on_it() -> None:
    """Nobody else has its scheduler and workers, nor does who names another cluster."""

    def names(**settings: object) -> list[str]:
        services = all_services(Settings.model_validate(settings))
        return [service.name for service in services if service.name.startswith("dask")]

    assert names() == names(train_engine="dask", train_workers=0) == []
    assert names(train_engine="dask", train_workers=2) == [
        *("dask-scheduler", "dask-worker-1", "dask-worker-2")
    ]


def test_missing_dask_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_services, "find_spec", lambda _: None)
    lacking = [each for each in all_services(Settings(train_engine="dask")) if each.lacks]
    assert {service.name for service in lacking} >= {"dask-scheduler", "dask-worker-1"}
    assert "EXTRA_PACKAGES=dask" in lacking[0].lacks


def test_services_send_no_telemetry() -> None:
    services = {service.name: service for service in all_services(Settings())}
    assert services["mlflow"].environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    for name in ("prefect-server", "agent"):
        assert services[name].environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_only_our_own_services_get_settings() -> None:
    orders = {s.name: Order.of(s, ACTIVE) for s in all_services(Settings())}
    assert orders["agent"].environment["TRAIN_TRIALS"] == "50"
    assert "TRAIN_TRIALS" not in orders["mlflow"].environment


def test_several_http_servers_are_refused() -> None:
    """They need containers; processes of one server share its port."""
    with pytest.raises(StackError, match=r"API_SERVERS=3: .* containers only .* API_WORKERS"):
        EmbeddedStack(Settings(api_servers=3)).start(GROUPS)


def test_several_stream_servers_are_refused() -> None:
    """They need containers."""
    with pytest.raises(StackError, match=r"STREAM_SERVERS=3: .* containers only"):
        EmbeddedStack(Settings(stream_servers=3)).start(GROUPS)


def test_orders_hold_no_run_id() -> None:
    """A run id in a server's environment would outlive later deploys."""
    for service in all_services(Settings()):
        assert "RUN_ID" not in Order.of(service, ACTIVE).environment


def test_order_is_read_back_and_change_is_noticed(tmp_path: Path) -> None:
    service = all_services(Settings())[0]
    order = Order.of(service, ACTIVE)
    assert order.write(tmp_path, service.name)
    assert not order.write(tmp_path, service.name)
    assert Order.read(tmp_path, service.name) == order
    moved = Order.of(all_services(Settings(mlflow_port=6000))[0], ACTIVE)
    assert moved.write(tmp_path, service.name)


def test_order_is_readable_by_owner_only(tmp_path: Path) -> None:
    service = all_services(Settings())[0]
    Order.of(service, ACTIVE).write(tmp_path, service.name)
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


def test_missing_order_says_never_started(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="never started"):
        Order.read(tmp_path, "mlflow")


@pytest.mark.parametrize("content", [b"", b"\0" * 9, b"\xff", b'{"command": [', b"[]", b"{}"])
def test_damaged_order_is_named_and_replaced(tmp_path: Path, content: bytes) -> None:
    """A power cut leaves such files; the next start writes a new one."""
    service = all_services(Settings())[0]
    path = tmp_path / f"{service.name}.order.json"
    path.write_bytes(content)
    with pytest.raises(StackError, match=f"order {path} is damaged: start it again"):
        Order.read(tmp_path, service.name)
    order = Order.of(service, ACTIVE)
    assert order.write(tmp_path, service.name)
    assert Order.read(tmp_path, service.name) == order


def test_emulator_handles_one_request_at_a_time() -> None:
    inside = 0
    most = 0
    guard = threading.Lock()
    together = threading.Barrier(4)

    def application(environ: dict[str, Any], _: object) -> Iterable[bytes]:
        nonlocal inside, most
        with guard:
            inside += 1
            most = max(most, inside)
        environ["wsgi.input"].read()
        with guard:
            inside -= 1
        return [b"x"]

    emulator = OneAtATime(application)

    def request() -> None:
        together.wait()
        for _ in range(50):
            body: dict[str, Any] = {"wsgi.input": BytesIO(b"abc"), "CONTENT_LENGTH": "3"}
            emulator(body, lambda *_: lambda _: None)

    threads = [threading.Thread(target=request) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_slow_client_delays_no_other() -> None:
    """A request is read completely before it takes the lock."""
    arrived = threading.Event()

    class Slow(BytesIO):
        def read(self, *_: object) -> bytes:
            arrived.wait(10)
            return b""

    answered: list[str] = []

    def application(environ: dict[str, Any], _: object) -> Iterable[bytes]:
        answered.append(environ["name"])
        return []

    emulator = OneAtATime(application)

    def request(name: str, body: BytesIO) -> None:
        environ = {"wsgi.input": body, "wsgi.input_terminated": True, "name": name}
        emulator(environ, lambda *_: lambda _: None)

    slow = threading.Thread(target=request, args=("slow", Slow()))
    slow.start()
    request("quick", BytesIO())
    assert answered == ["quick"]
    arrived.set()
    slow.join()
    assert answered == ["quick", "slow"]


def test_emulator_finds_last_record_as_moto_does() -> None:
    shard = Shard(0, 0, 2**128 - 1)
    for _ in range(3):
        assert last_sequence_number(shard) == shard.get_max_sequence_number()
        shard.put_record("key", "", "")
    assert last_sequence_number(shard) == shard.get_max_sequence_number() == 3
