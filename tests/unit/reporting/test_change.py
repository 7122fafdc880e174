"""A report begins with what changed since the last one: a sentence and a chart."""

from typing import Any

import pytest

from mlstack.quality.results import BinaryQuality, MulticlassQuality, Quality
from reporting.change import change_chart, change_sentence
from reporting.report import Baseline, Window
from tests.support.reports import NOON, drift, report

BEFORE = "Since the report of 2026-11-25 12:00 UTC"


def _binary(rmse: float) -> Quality:
    return BinaryQuality(rmse=rmse, logloss=1, auc=0.8, calibration_error=0.02, coverage=0.5)


def _classes(logloss: float) -> Quality:
    return MulticlassQuality(logloss, auc=None, accuracy=0.5, confusion=(), coverage=0.5)


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({}, {"drifted": ("age",)}, "age has drifted"),
        ({}, {"drifted": ("age", "limit")}, "age, limit have drifted"),
        ({"drifted": ("age",)}, {}, "age no longer differs"),
        (
            {"drifted": ("age",)},
            {"drifted": ("limit",)},
            "limit has drifted; age no longer differs",
        ),
        (
            {"prediction": drift("prediction", drifted=True)},
            {},
            "the predictions no longer differ",
        ),
        ({"model_run_id": "b" * 32}, {}, "another model is in use"),
        ({"quality": _binary(0.3)}, {"quality": _binary(0.4)}, "rmse rose from 0.3 to 0.4"),
        ({"quality": _classes(0.4)}, {"quality": _classes(0.3)}, "logloss fell from 0.4 to 0.3"),
        (
            {
                "compared_with": Baseline(
                    kind="window before", rows=9, window=Window(start=NOON, end=NOON)
                )
            },
            {},
            "the comparison is now with the training data",
        ),
    ],
)
def test_sentence_says_what_changed(before: Any, now: Any, said: str) -> None:
    assert change_sentence(report(3, **now), report(0, **before)) == f"{BEFORE}: {said}."


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({}, "no feature has drifted"),
        ({"drifted": ("age",)}, "the same features have drifted"),
        ({"quality": _binary(0.3)}, "no feature has drifted"),
    ],
)
def test_sentence_says_that_nothing_changed(figures: Any, said: str) -> None:
    """An error that moves by less than chance is no change."""
    sentence = change_sentence(report(3, **figures), report(0, **figures))
    assert sentence == f"Nothing has changed s{BEFORE[1:]}: {said}."


def test_first_report_has_nothing_to_compare_with() -> None:
    assert "no recent report" in change_sentence(report(), None)
    assert ">age</text>" in change_chart(report(), None)


def test_chart_shows_features_that_changed_most() -> None:
    """A table of hundreds of columns must not fill the page."""
    names = [f"feature_{number}" for number in range(60)]
    calm = tuple(drift(name) for name in names)
    moved = tuple(drift(name, drifted=name == "feature_33") for name in names)
    svg = change_chart(report(3, features=moved), report(0, features=calm))
    assert ">feature_33</text>" in svg
    assert svg.count(">feature_") == 11
    assert ">prediction</text>" in svg


def test_chart_has_a_scale_for_any_distance() -> None:
    """One feature may be a thousand thresholds away."""
    far = drift("age").__class__(
        "age", "wasserstein", 1e9, 0.2, drifted=True, missing_share=0, reference_missing_share=0
    )
    svg = change_chart(report(3, features=(far,)), report(0))
    assert ">1</text>" in svg
    assert "mathdefault" not in svg
