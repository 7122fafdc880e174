"""Whatever people paste to name a run is understood, or refused by what was given."""

import pytest

from mlstack.run_ids import is_run_id, read_run

A, B = "0123456789abcdef" * 2, "b" * 32
PAGE = "http://127.0.0.1:5051/#/experiments/1"


@pytest.mark.parametrize(
    "text",
    [
        A,
        A.upper(),
        f" {A} ",
        f"\u00a0{A}\u200b\r\n",
        f"'{A}'",
        f"\u201c{A}\u201d",
        f"`{A}`,",
        f"<{A}>",
        f"RUN_ID={A}",
        f"export RUN_ID = '{A}'",
        f"Run ID: {A}",
        f"runs:/{A}",
        f"runs:/{A}/model",
        f"{PAGE}/runs/{A}",
        f"{PAGE}/runs/{A}/model-metrics?x=1&y={A}",
        f"https://mlflow.example.org/#/experiments/987654321098765432/runs/{A.upper()}/",
        f"mlflow-artifacts:/1/{A}/artifacts/model",
        f"s3://bucket/mlflow/1/{A}/artifacts",
        f"runs:%2F{A}%2Fmodel",
    ],
)
def test_pasted_run_is_understood(text: str) -> None:
    """Case, quotes, spaces, URIs and addresses around a run id do not matter."""
    assert read_run(text) == A
    assert is_run_id(read_run(text))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"m-{A}", f"m-{A}"),
        (f"M-{A.upper()}", f"m-{A}"),
        (f"models:/m-{A}", f"m-{A}"),
        (f"{PAGE}/models/m-{A}", f"m-{A}"),
        ("models:/churn/3", "models:/churn/3"),
        ("models:/churn/latest", "models:/churn/latest"),
        ("models:/churn@champion", "models:/churn@champion"),
        (" 'models:/Churn@champion' ", "models:/Churn@champion"),
        ("http://127.0.0.1:5051/#/models/churn/versions/3", "models:/churn/3"),
        ("0123abcd", "0123abcd"),
        ("0123ABCD...", "0123abcd"),
        (A[:31], A[:31]),
    ],
)
def test_reference_is_left_to_mlflow(text: str, read: str) -> None:
    """Models, versions, aliases and beginnings of an id are normalised, for MLflow to look up."""
    assert read_run(text) == read


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is not a run id"),
        ("x", "'x' is not a run id"),
        ("../models", "'../models' is not a run id"),
        ("abc", "it has 3 digits and letters"),
        (A + "0", "it has 33 digits and letters"),
        (f"{A}\n{B}", "names 2 runs"),
        (f'http://h/#/compare-runs?runs=["{A}","{B}"]', "names 2 runs"),
        (PAGE, "the address of an experiment"),
        ("models:/churn", "models:/NAME/VERSION"),
        ("models:/churn/Production", "models:/NAME/VERSION"),
        ("8d3f4a52-6a0e-4c0c-9d3b-0b0f3e1a7c11", "the form of a prediction's"),
        (f"tr-{A}", f"'tr-{A}' is not a run id"),
        (f"x{A}", f"'x{A}' is not a run id"),
        ("z" * 100_000, "z..."),
    ],
)
def test_anything_else_is_refused_as_given(text: str, reason: str) -> None:
    """The sentence has what was given, and what it is if that is certain."""
    with pytest.raises(ValueError, match=r"copy a run's id from MLflow|choose one") as caught:
        read_run(text)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 250
