"""The main job, as a person does it: `make demo` in a fresh copy, then what the README shows next.

The tests of this file share one stack and follow each other. The README's other commands are run
by `tests/rest/test_readme.py`.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from tests.support.embedded import EmbeddedStack, embedded_stack
from tests.support.front_page import read_front_page, states
from tests.support.readme import MAIN_PATH, run_command
from tests.support.stack_behaviour import StackBehaviour
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(900)  # a busy machine takes long to start everything
TRIALS = 10


@dataclass(frozen=True)
class Demo:
    """A stack that `make demo` brought up, and what that printed."""

    stack: EmbeddedStack
    output: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with embedded_stack(tmp_path_factory.mktemp("walkthrough")) as stack:
        yield Demo(stack, stack.make("demo", TRAIN_TRIALS=str(TRIALS)))


@pytest.fixture
def stack(demo: Demo) -> EmbeddedStack:
    return demo.stack


def test_demo_shows_predictions_and_where_to_look(demo: Demo) -> None:
    """It asks for five predictions, and says where the API and MLflow are."""
    answers = [json.loads(line) for line in re.findall(r"-> (\{.*\})", demo.output)]
    assert len(answers) == 5
    assert {answer["model_run_id"] for answer in answers} == {demo.stack.champion()}
    assert f"{demo.stack.api}/docs" in demo.output
    assert demo.stack.mlflow in demo.output
    assert "synthetic" not in demo.output


def test_demo_ends_with_a_report_and_a_drift_verdict(demo: Demo) -> None:
    """Its last lines are true: a first report is there, and monitoring has spoken."""
    stack = demo.stack
    index = requests.get(stack.reports, timeout=5).text
    (page,) = re.findall(r'href="(\d{8}T\d{6}Z-credit_card_churn\.html)"', index)
    assert "against the training data" in index
    assert f"{stack.reports}/{page}" in demo.output
    report = requests.get(f"{stack.reports}/{page}", timeout=5)
    assert stack.champion() in report.text
    metrics = requests.get(f"{stack.monitor}/metrics", timeout=5).text
    (rows,) = re.findall(r'evidently:window_rows\{dataset="credit_card_churn"\} (\S+)', metrics)
    assert float(rows) >= 400
    assert 'evidently:data_drift:dataset_drift{dataset="credit_card_churn"}' in metrics
    for address in (stack.reports, stack.monitor):
        assert address in demo.output


def test_front_page_is_named_first_and_shows_the_stack(demo: Demo) -> None:
    """Every service is ready, or is not installed; MLflow's link opens the experiment."""
    stack = demo.stack
    opened = demo.output.partition("\nOpen:\n")[2]
    assert opened.split()[:3] == ["front", "page", f"{stack.monitor}/"]
    report = rf'href="{stack.reports}/\d{{8}}T\d{{6}}Z-credit_card_churn\.html"'

    def shows_all() -> bool:
        page = read_front_page(stack.monitor)
        ready = {*states(page).values()} <= {"ready", "absent"}
        return ready and re.search(report, page) is not None

    wait_until(shows_all, "all are ready, and the demo's report is the newest")
    page = read_front_page(stack.monitor)
    assert stack.champion() in page
    for text in (page, demo.output):
        assert f"{stack.mlflow}/#/experiments/" in text


class TestBehaviour(StackBehaviour):
    """What every environment's stack does."""

    trials = TRIALS


def test_readme_commands_of_the_main_path_work(stack: EmbeddedStack) -> None:
    """Predictions, feedback, simulated batches, deploy and rollback work as they are printed."""
    for command in MAIN_PATH:
        run_command(stack, command)


def test_reset_leaves_nothing_behind(stack: EmbeddedStack) -> None:
    """The README's last command was `make reset_all`."""
    assert MAIN_PATH[-1] == "make reset_all env=embedded"
    assert stack.project.processes() == {}
    assert not (stack.project.folder / ".embedded").exists()
    assert not (stack.project.folder / ".env").exists()
