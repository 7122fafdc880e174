"""The deploy command says what it did in a sentence, and what to do when it could not."""

from pathlib import Path

import pytest

from mlstack.contract import Contract
from mlstack.deployment import DeploymentState
from server.deploy import main
from support.models import keep_model

A, B, BROKEN = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def state(tmp_path: Path, documented: Contract, monkeypatch: pytest.MonkeyPatch) -> DeploymentState:
    for seed, run_id in enumerate((A, B)):
        keep_model(tmp_path, run_id, documented, seed)
    (keep_model(tmp_path, BROKEN, documented, seed=3) / "model.ubj").write_bytes(b"broken")
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    return DeploymentState(tmp_path)


def deployed(state: DeploymentState) -> str | None:
    record = state.record()
    return record.run_id if record else None


def test_to_deploys_a_run(state: DeploymentState, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["to", A]) == 0
    assert capsys.readouterr().out == f"run {A} is deployed\n"
    assert deployed(state) == A


@pytest.mark.parametrize("run_id", ["", "x", "../models", A.upper(), A + "0", f"{A}\n"])
def test_what_is_no_run_id_is_refused(
    state: DeploymentState, run_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["to", run_id]) == 1
    assert "is no run id" in capsys.readouterr().err
    assert deployed(state) is None


def test_failure_is_one_sentence_and_leaves_what_was_deployed(
    state: DeploymentState, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["to", A])
    assert main(["to", BROKEN]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert deployed(state) == A


def test_ensure_deploys_what_people_decided(
    state: DeploymentState,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["to", A])
    monkeypatch.setenv("RUN_ID", B)
    assert main(["ensure"]) == 0
    assert deployed(state) == B
    assert capsys.readouterr().out.endswith(f"run {B} is deployed\n")


def test_ensure_twice_deploys_once(state: DeploymentState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUN_ID", A)
    assert [main(["ensure"]), main(["ensure"])] == [0, 0]
    assert len(state.history()) == 1


def test_ensure_without_a_decision_confirms_what_was_deployed(state: DeploymentState) -> None:
    main(["to", A])
    assert main(["ensure"]) == 0
    assert deployed(state) == A


def test_ensure_with_neither_says_what_to_do(
    state: DeploymentState, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ensure"]) == 1
    message = capsys.readouterr().err
    assert "RUN_ID" in message
    assert "make deploy" in message
    assert ":5051" in message, "MLflow's address"
    assert deployed(state) is None


def test_rollback_goes_back(state: DeploymentState, capsys: pytest.CaptureFixture[str]) -> None:
    main(["to", A])
    main(["to", B])
    assert main(["rollback"]) == 0
    assert deployed(state) == A
    assert main(["rollback"]) == 1
    assert "no earlier deployment" in capsys.readouterr().err


def test_history_lists_successes_and_failures_in_order(
    state: DeploymentState, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["history"]) == 0
    assert capsys.readouterr().out == "nothing was deployed yet\n"
    main(["to", A])
    main(["to", BROKEN])
    main(["rollback"])
    main(["to", B])
    main(["rollback"])
    capsys.readouterr()
    main(["history"])
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["when", "(UTC)"]
    told = [(row.split()[2], row.split()[4][0], row.split()[6]) for row in rows]
    assert told == [
        ("deploy", "a", "deployed"),
        ("deploy", "c", "refused:"),
        ("deploy", "b", "deployed"),
        ("rollback", "a", "deployed"),
    ]
    assert len(state.history()) == len(rows)


def test_bad_setting_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUN_ID", "nonsense")
    assert main(["ensure"]) == 1
    assert "RUN_ID" in capsys.readouterr().err
