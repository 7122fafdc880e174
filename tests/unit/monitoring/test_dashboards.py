"""Grafana's files, checked strictly because no Grafana runs in the tests."""

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlstack.contract import Contract
from mlstack.settings import ROOT
from tests.support.contracts import CONTRACTS
from tests.support.dashboards import FILES, GRAFANA, load, queries

# The last schema of Grafana's classic dashboards, from 12.2 on.
SCHEMA_VERSION = 42
PANELS = {"row", "stat", "timeseries", "state-timeline", "table", "heatmap"}
COLUMNS = 24

per_dashboard = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def data_sources() -> list[dict[str, Any]]:
    text = (GRAFANA / "provisioning/datasources/prometheus.yml").read_text(encoding="utf-8")
    return list(yaml.safe_load(text)["datasources"])


def test_documented_address_opens_the_drift_dashboard() -> None:
    """It is /d/U54hsxv7k/evidently-data-drift-dashboard, made from uid and title."""
    (drift,) = [load(file) for file in FILES if load(file)["uid"] == "U54hsxv7k"]
    slug = re.sub(r"[^a-z0-9]+", "-", drift["title"].lower())
    assert slug == "evidently-data-drift-dashboard"


def test_dashboards_have_distinct_uids_and_titles() -> None:
    """There are two, and they share neither uid nor title."""
    dashboards = [load(file) for file in FILES]
    assert len({each["uid"] for each in dashboards}) == len(dashboards) == 2
    assert len({each["title"] for each in dashboards}) == len(dashboards)


@per_dashboard
def test_schema_needs_no_migration(file: Path) -> None:
    """Grafana 12 takes the dashboards as they are."""
    dashboard = load(file)
    assert dashboard["schemaVersion"] == SCHEMA_VERSION
    assert dashboard["id"] is None
    assert re.fullmatch(r"[\w-]{1,40}", dashboard["uid"])
    assert {panel["type"] for panel in dashboard["panels"]} <= PANELS
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            steps = panel["fieldConfig"]["defaults"].get("thresholds", {"steps": []})["steps"]
            assert all(step["value"] is None for step in steps[:1])
            assert [s["value"] for s in steps[1:]] == sorted(s["value"] for s in steps[1:])
            assert panel["options"]


@per_dashboard
def test_panels_do_not_overlap(file: Path) -> None:
    """Each has its own id, title and place."""
    panels = load(file)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    for place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= COLUMNS
    for a, b in combinations(places, 2):
        apart_x = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        apart_y = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert apart_x or apart_y, (a, b)


@per_dashboard
def test_queries_use_the_provisioned_data_source(file: Path) -> None:
    """No panel or variable names another one."""
    (source,) = data_sources()
    wanted = {"type": source["type"], "uid": source["uid"]}
    dashboard = load(file)
    variables = dashboard["templating"]["list"]
    assert all(variable["datasource"] == wanted for variable in variables)
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            assert panel["datasource"] == target["datasource"] == wanted
        refs = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(refs)) == len(refs)


@per_dashboard
def test_query_variables_are_defined(file: Path) -> None:
    """A query uses only variables of its dashboard or of Grafana."""
    dashboard = load(file)
    known = {variable["name"] for variable in dashboard["templating"]["list"]}
    for query in queries(dashboard):
        named = set(re.findall(r"\$(\w+)", query.expression))
        assert {name for name in named if not name.startswith("__")} <= known, query
        assert "$" not in query.filled(**dict.fromkeys(known, "x"))


@per_dashboard
def test_dashboards_name_no_feature(file: Path) -> None:
    """They serve any contract, by the label `feature`."""
    text = file.read_text(encoding="utf-8")
    for name in CONTRACTS:
        contract = Contract.load(ROOT / "contracts" / f"{name}.yaml")
        assert not [feature for feature in contract.feature_names if feature in text]
        assert contract.name not in text


@per_dashboard
def test_estimates_are_called_estimates(file: Path) -> None:
    """Legend and description say so."""
    for panel in load(file)["panels"]:
        for target in panel.get("targets", ()):
            if "estimated_quality" in target["expr"]:
                assert "estimate" in target["legendFormat"]
                assert "ESTIMATE" in panel["description"]


def test_provisioning_finds_the_dashboards() -> None:
    """Its folder is theirs, and its interval is the scrape interval."""
    provider = yaml.safe_load(
        (GRAFANA / "provisioning/dashboards/mlstack.yml").read_text(encoding="utf-8")
    )["providers"][0]
    assert provider["type"] == "file"
    assert provider["options"]["path"].endswith("/dashboards")
    prometheus = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text())
    (source,) = data_sources()
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
