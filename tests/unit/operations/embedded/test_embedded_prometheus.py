"""The embedded Prometheus runs with the project's own configuration, and Alertmanager with ours."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mlstack.settings import Settings
from operations.embedded import prometheus
from operations.embedded.service import GROUPS
from operations.embedded.services import all_services
from operations.embedded.stack import EmbeddedStack
from operations.errors import StackError


def test_targets_have_ports_of_environment(tmp_path: Path) -> None:
    file = prometheus.configure(tmp_path, Settings(api_port=4001, prometheus_port=4002))
    here = yaml.safe_load(file.read_text(encoding="utf-8"))
    there = yaml.safe_load((prometheus.PROJECT / file.name).read_text(encoding="utf-8"))
    scraped = {each["job_name"]: each for each in here.pop("scrape_configs")}
    assert list(scraped) == [each["job_name"] for each in there.pop("scrape_configs")]
    assert here == there
    assert scraped["model-server-api"]["static_configs"] == [{"targets": ["127.0.0.1:4001"]}]
    assert not any("dns_sd_configs" in each for each in scraped.values())
    found = yaml.safe_load((tmp_path / "targets.yml").read_text(encoding="utf-8"))
    targets = {group["labels"]["job"]: group["targets"] for group in found}
    assert targets["prometheus"] == ["127.0.0.1:4002"]
    assert {path.name for path in (tmp_path / "rules").glob("*")} >= {"model.yml", "servers.yml"}


def test_second_start_follows_moved_project_and_ports(tmp_path: Path) -> None:
    for name in ("rules", "prometheus.yml"):  # the release before linked both
        (tmp_path / name).symlink_to("/nowhere")
    prometheus.configure(tmp_path, Settings())
    prometheus.configure(tmp_path, Settings(api_port=4001))
    assert (tmp_path / "rules").is_dir()
    assert "127.0.0.1:4001" in (tmp_path / "prometheus.yml").read_text()


def test_unknown_target_is_named() -> None:
    left_out = {"model-server-api", "log-keeper"}
    services = [each for each in all_services(Settings()) if each.name not in left_out]
    with pytest.raises(StackError, match=r"targets.yml: no service with a port: log-keeper"):
        prometheus.targets(services)
    with pytest.raises(StackError, match=r"prometheus.yml: .* port: model-server-api"):
        prometheus.configuration(services)


@pytest.mark.parametrize("lacks", ["", "it is not installed"])
def test_alerts_go_to_alertmanager_that_is_installed(lacks: str) -> None:
    """Without one nothing is sent, and nobody is told that it is down."""
    services = [
        replace(each, lacks=lacks) if each.name == "alertmanager" else each
        for each in all_services(Settings(alertmanager_port=4003))
    ]
    scraped = [group["labels"]["job"] for group in prometheus.targets(services)]
    assert ("alertmanager" in scraped) == (not lacks)
    sent = [] if lacks else [{"targets": ["127.0.0.1:4003"]}]
    assert prometheus.alertmanagers(services) == sent


def test_start_leaves_out_missing_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    started = {service.name for service in EmbeddedStack(Settings()).startable(GROUPS)}
    assert not {"prometheus", "alertmanager"} & started
    assert {"mlflow", "model-server-api"} <= started
    first, second = capsys.readouterr().out.splitlines()
    assert "skipped: prometheus is not installed, so there are no alerts: apt-get" in first
    assert "skipped: prometheus-alertmanager is not installed, so nobody is told" in second
