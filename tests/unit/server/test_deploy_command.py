"""The deploy command says in a sentence what it did, or what to do if it failed."""

from pathlib import Path

import pytest

from mlstack import command_line
from mlstack.contract import Contract
from mlstack.deployment.record import DeploymentState
from server import deploy
from tests.support.models import keep_model
from tests.support.ports import free_port

A, B, BROKEN, UNKNOWN = "a" * 32, "b" * 32, "c" * 32, "d" * 32


@pytest.fixture
def state(tmp_path: Path, documented: Contract, monkeypatch: pytest.MonkeyPatch) -> DeploymentState:
    for seed, run_id in enumerate((A, B)):
        keep_model(tmp_path, run_id, documented, seed)
    (keep_model(tmp_path, BROKEN, documented, seed=3) / "model.ubj").write_bytes(b"broken")
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    return DeploymentState(tmp_path)


def main(arguments: list[str]) -> int:
    """Run the command as a process would; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        command_line.run(lambda: deploy.main(arguments))
    return int(ended.value.code or 0)


def deployed(state: DeploymentState) -> str | None:
    record = state.record()
    return record.run_id if record else None


def test_to_deploys_a_run(state: DeploymentState, capsys: pytest.CaptureFixture[str]) -> None:
    """`to` deploys a run and says so."""
    assert main(["to", A]) == 0
    assert capsys.readouterr().out == f"run {A} is deployed\n"
    assert deployed(state) == A


@pytest.mark.parametrize("run_id", ["", "x", "../models", A + "0"])
def test_to_refuses_an_invalid_run_id(
    state: DeploymentState, run_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A text that is not a run id is refused."""
    assert main(["to", run_id]) == 1
    assert "is not a run id" in capsys.readouterr().err
    assert deployed(state) is None


@pytest.mark.parametrize("given", [f"{A.upper()}\n", f"http://h:5051/#/experiments/1/runs/{A}"])
def test_pasted_run_is_deployed(
    state: DeploymentState, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may be named as it is copied, on the command line and in the environment's file."""
    assert main(["to", given]) == 0
    assert deployed(state) == A
    main(["to", B])
    monkeypatch.setenv("RUN_ID", given.replace(A, B).replace(A.upper(), B.upper()))
    assert main(["ensure"]) == 0
    assert deployed(state) == B


def test_failed_deploy_changes_nothing(
    state: DeploymentState, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure is one sentence, and the old model stays deployed."""
    main(["to", A])
    assert main(["to", BROKEN]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert deployed(state) == A


def test_ensure_deploys_the_chosen_run(
    state: DeploymentState,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`ensure` deploys RUN_ID."""
    main(["to", A])
    monkeypatch.setenv("RUN_ID", B)
    assert main(["ensure"]) == 0
    assert deployed(state) == B
    assert capsys.readouterr().out.endswith(f"run {B} is deployed\n")


@pytest.mark.parametrize("change", [["to", B], ["rollback"]])
def test_ensure_carries_out_a_choice_once(
    state: DeploymentState,
    change: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What people deploy after a choice was carried out stays deployed."""
    main(["to", B])
    monkeypatch.setenv("RUN_ID", A)
    assert main(["ensure"]) == 0
    assert main(change) == 0
    capsys.readouterr()
    assert main(["ensure"]) == 0
    assert deployed(state) == B
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert f"run {B} is still deployed" in said
    assert f"make deploy RUN_ID={A}" in said


def test_ensure_follows_a_choice_of_an_older_run(
    state: DeploymentState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new choice is carried out even if the run was deployed before."""
    for decided in (A, B, A):
        monkeypatch.setenv("RUN_ID", decided)
        assert main(["ensure"]) == 0
        assert deployed(state) == decided


def test_ensure_does_not_redeploy_a_rolled_back_run(
    state: DeploymentState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run deployed by command and rolled back stays so when the file names it later."""
    monkeypatch.setenv("RUN_ID", A)
    main(["ensure"])
    main(["to", B])
    main(["rollback"])
    monkeypatch.setenv("RUN_ID", B)
    assert main(["ensure"]) == 0
    assert deployed(state) == A


def test_ensure_retries_a_failed_choice(
    state: DeploymentState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A choice that could not be carried out is tried again."""
    main(["to", A])
    monkeypatch.setenv("RUN_ID", BROKEN)
    assert [main(["ensure"]), main(["ensure"])] == [1, 1]
    assert [entry.to_run_id for entry in state.history()] == [A, BROKEN, BROKEN]
    assert deployed(state) == A


# MLflow's client by itself would go on for minutes.
@pytest.mark.timeout(60)
def test_mlflow_down_is_reported_soon(
    state: DeploymentState,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A deploy fails soon, with MLflow's address, when MLflow is down."""
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, "")  # so that what is set is taken back
        monkeypatch.delenv(name)
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert main(["to", UNKNOWN]) == 1
    reason = f"it does not answer at {address} (make status)"
    assert capsys.readouterr().err == f"MLflow cannot look up run {UNKNOWN}: {reason}\n"
    assert deployed(state) is None


def test_ensure_twice_deploys_once(state: DeploymentState, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ensure` does not deploy again what is deployed."""
    monkeypatch.setenv("RUN_ID", A)
    assert [main(["ensure"]), main(["ensure"])] == [0, 0]
    assert len(state.history()) == 1


def test_ensure_without_choice_keeps_the_deployed_run(state: DeploymentState) -> None:
    """Without RUN_ID, `ensure` checks the deployed run."""
    main(["to", A])
    assert main(["ensure"]) == 0
    assert deployed(state) == A


def test_ensure_without_any_run_says_what_to_do(
    state: DeploymentState, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without RUN_ID and any deployment, `ensure` says how to choose a run."""
    assert main(["ensure"]) == 1
    message = capsys.readouterr().err
    assert "RUN_ID" in message
    assert "make deploy" in message
    assert ":5051" in message, "MLflow's address"
    assert deployed(state) is None


def test_rollback_goes_back(state: DeploymentState, capsys: pytest.CaptureFixture[str]) -> None:
    """`rollback` deploys the earlier run, and fails when there is none."""
    main(["to", A])
    main(["to", B])
    assert main(["rollback"]) == 0
    assert deployed(state) == A
    assert main(["rollback"]) == 1
    assert "no earlier deployment" in capsys.readouterr().err


def test_history_lists_all_attempts_in_order(
    state: DeploymentState, capsys: pytest.CaptureFixture[str]
) -> None:
    """`history` lists all attempts in order, failed ones too."""
    assert main(["history"]) == 0
    assert capsys.readouterr().out == "nothing has been deployed yet\n"
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
        ("deploy", "c", "rejected:"),
        ("deploy", "b", "deployed"),
        ("rollback", "a", "deployed"),
    ]
    assert len(state.history()) == len(rows)


def test_bad_setting_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unusable setting is one sentence that names it."""
    monkeypatch.setenv("RUN_ID", "nonsense")
    assert main(["ensure"]) == 1
    assert "RUN_ID" in capsys.readouterr().err
