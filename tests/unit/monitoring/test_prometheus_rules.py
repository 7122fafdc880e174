"""Scrape configuration and rules; their cases are in `tests/prometheus/`."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlstack.settings import ROOT

PROMETHEUS = ROOT / "monitoring" / "prometheus"
CASES = sorted((ROOT / "tests" / "prometheus").glob("*.yml"))

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed: apt-get install --no-install-recommends prometheus",
)


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for file in PROMETHEUS.glob("rules/*.yml")
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


def promtool(*arguments: str, cwd: Path = ROOT) -> None:
    done = subprocess.run(
        ["promtool", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@needs_promtool
def test_promtool_accepts_the_configuration() -> None:
    """Configuration, targets and rules are valid."""
    promtool("check", "config", "--lint-fatal", "prometheus.yml", cwd=PROMETHEUS)


@needs_promtool
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_rules_pass_their_cases(case: Path) -> None:
    """Promtool runs the cases of each file of rules."""
    promtool("test", "rules", case.name, cwd=case.parent)


def test_every_rule_has_a_case() -> None:
    """Each rule produces an alert or a sample in some case."""
    checks = [
        check
        for file in CASES
        for case in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
        for kind in ("alert_rule_test", "promql_expr_test")
        for check in case.get(kind, [])
        if check.get("exp_alerts") or check.get("exp_samples")
    ]
    shown = " ".join(str(check) for check in checks)
    assert len(rules()) > 15
    for rule in rules():
        name = rule.get("alert") or rule["record"]
        assert name in shown, name


def test_every_alert_says_what_to_know_and_links() -> None:
    """An alert says what happened, what it means and what to do, and links to the page."""
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("critical", "warning")
            assert set(rule["annotations"]) == {"summary", "description", "runbook", "page"}
            assert rule["annotations"]["page"] == "{{ $externalLabels.monitor_page }}"


def test_page_is_no_label_of_what_is_sent() -> None:
    """The address of the page comes from the environment, for annotations alone."""
    document = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    assert document["global"]["external_labels"] == {"monitor_page": "${MONITOR_PAGE}"}
    dropped = {"action": "labeldrop", "regex": "monitor_page"}
    assert document["alerting"]["alert_relabel_configs"] == [dropped]


def test_drift_fires_within_45_seconds() -> None:
    """Of a minute, the period of the calculation takes 15 s."""
    timing = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))["global"]
    until_it_fires = {rule.get("alert"): rule.get("for", "0s") for rule in rules()}["DataDrifted"]
    parts = (timing["scrape_interval"], timing["evaluation_interval"], until_it_fires)
    assert sum(int(part.removesuffix("s")) for part in parts) <= 45
