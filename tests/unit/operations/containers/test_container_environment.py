"""What containers get from the machine: proxies that Docker hands out, and mounted files."""

import json
import os
import urllib.request
from pathlib import Path

import httpx
import pytest

from mlstack.settings import ROOT
from operations.containers.docker_proxies import configured_no_proxy
from operations.containers.mounts import mounts_fault
from operations.errors import StackError
from tests.support.compose_files import read_services

# The last two override what the cloud's file says about services that it leaves out.
SERVICES = read_services(
    "docker-compose-cloud.yml", "docker-compose-model-registry.yml", "docker-compose-serve.yml"
)
IMAGES = [
    file
    for file in sorted(ROOT.glob("[a-z]*/**/Dockerfile*"))
    if "image_packages" in file.read_text()
]


@pytest.mark.parametrize("name", SERVICES)
def test_services_are_not_asked_for_through_a_proxy(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`proxies` in Docker's configuration give each container one, and compose overrides it."""
    service = SERVICES[name]["environment"]
    assert service["no_proxy"] == service["NO_PROXY"]
    assert service["ALL_PROXY"] == service["all_proxy"] == "", "a library without SOCKS would fail"
    told = service["NO_PROXY"].replace("${DOCKER_NO_PROXY:-}", "s3.corp.example,.internal")
    environment = {"NO_PROXY": told, "no_proxy": told, "http_proxy": "http://proxy.example:3128"}
    monkeypatch.setattr(os, "environ", environment)
    for host in (*SERVICES, "localhost", "127.0.0.1", "169.254.169.254", "s3.corp.example"):
        assert urllib.request.proxy_bypass(host), host
    assert not urllib.request.proxy_bypass("data.example")
    with httpx.Client() as client:
        direct = client._transport_for_url(httpx.URL("http://prefect_server:4200"))
        assert direct is client._transport


@pytest.mark.parametrize("name", SERVICES)
def test_health_checks_ask_no_proxy(name: str) -> None:
    """The wget of public images knows no NO_PROXY."""
    if "wget" in SERVICES[name].get("healthcheck", {}).get("test", ()):
        assert SERVICES[name]["environment"]["http_proxy"] == ""


def test_hosts_in_dockers_configuration_stay_exempt(tmp_path: Path) -> None:
    """The compose files would otherwise replace them."""
    assert configured_no_proxy({"HOME": str(tmp_path)}) == ""
    (tmp_path / ".docker").mkdir()
    proxies = {"default": {"noProxy": "a.example,[::1]"}, "tcp://x": {"httpProxy": "http://p:1"}}
    file = tmp_path / ".docker/config.json"
    file.write_text(json.dumps({"proxies": proxies}))
    assert configured_no_proxy({"HOME": str(tmp_path)}).split(",")[:2] == ["a.example", "::1"]
    assert configured_no_proxy({"DOCKER_CONFIG": str(file.parent)}).startswith("a.example")
    file.write_text("{}")
    assert configured_no_proxy({"HOME": str(tmp_path)}) == ""
    file.write_text("[")
    with pytest.raises(StackError, match=f"{file} cannot be read"):
        configured_no_proxy({"HOME": str(tmp_path)})


def test_configuration_closed_to_containers_is_named(tmp_path: Path) -> None:
    """`(umask 077; git clone ...)`: public images run as users of their own."""
    folder = tmp_path / "monitoring/prometheus"
    for path in (folder / "rules/drift.yml", folder / "prometheus.yml", tmp_path / ".secrets/key"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o644)
    mounts = [("bind", folder), ("bind", tmp_path / ".secrets"), ("volume", Path("state"))]
    volumes = [{"type": kind, "source": str(source)} for kind, source in mounts]
    services = {"prometheus": {"volumes": volumes}, "agent": {}}
    (tmp_path / ".secrets/key").chmod(0o600)
    assert mounts_fault(services, tmp_path) is None
    (folder / "rules").chmod(0o700)
    (folder / "prometheus.yml").chmod(0o600)
    fault = str(mounts_fault(services, tmp_path))
    assert "monitoring/prometheus/prometheus.yml, monitoring/prometheus/rules, " in fault
    assert fault.endswith("chmod -R go+rX monitoring")
    assert ".secrets" not in fault


@pytest.mark.parametrize("file", IMAGES, ids=lambda path: path.name)
def test_images_open_the_code_to_their_user(file: Path) -> None:
    """Files keep the checkout's permissions when they are copied into an image."""
    copied, _, rest = file.read_text().rpartition("COPY mlstack")
    assert copied
    assert "chmod -R a+rX ." in rest
