"""Contributions of features are XGBoost's own, and add up to what the model says."""

from pathlib import Path

import numpy as np
import pytest
import xgboost

from mlstack.contract import Contract
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.errors import ModelError
from mlstack.model.contributions import Contributor
from mlstack.model.explanation import explain
from mlstack.model.model import Model
from mlstack.model.model_files import MODEL_FILE
from tests.support.every_kind import every_kind
from tests.support.models import train, write_model
from tests.support.target_kinds import KINDS, small_model

RUN_ID = "a" * 32


@pytest.mark.parametrize("kind", KINDS)
def test_contributions_add_up_to_the_margin(tmp_path: Path, kind: str) -> None:
    """And the margin leads to the prediction, for each kind of target, with missing values."""
    model = small_model(tmp_path, kind)
    contribute = Contributor(model.folder, RUN_ID)
    customers = CustomerGenerator(model.contract, seed=3).draw(40)
    for number, customer in enumerate(customers):
        if number % 4 == 0:
            customer["distance"] = None
        (said,) = model.score([customer])
        why = explain(model, customer, said, contribute)
        assert tuple(why.contributions) == model.contract.feature_names
        total = why.base + sum(why.contributions.values())
        if kind == "regression":
            assert total == pytest.approx(why.margin, rel=1e-5)
            assert said.prediction == why.margin
        else:
            assert total == pytest.approx(why.margin, abs=1e-5)
        if kind == "binary":
            assert said.prediction == pytest.approx(1 / (1 + np.exp(-why.margin)), abs=1e-6)
        assert why.label == (said.prediction if kind == "multiclass" else None)


def test_class_is_explained_by_its_own_margin(tmp_path: Path) -> None:
    """The predicted class's trees are those that are explained."""
    model = small_model(tmp_path, "multiclass")
    contribute = Contributor(model.folder, RUN_ID)
    labels = set()
    for customer in CustomerGenerator(model.contract, seed=4).draw(60):
        (said,) = model.score([customer])
        why = explain(model, customer, said, contribute)
        margins = model.margins(model.encoder.encode([customer]))[0]
        assert why.margin == margins.max()
        labels.add(why.label)
    assert len(labels) > 1


def test_columns_of_a_category_are_one_contribution(tmp_path: Path) -> None:
    """Each kind of feature has one; a date that is only a base of others has none."""
    contract = every_kind()
    model = Model.load(write_model(tmp_path / "model", contract, seed=1), RUN_ID)
    customer = {**contract.example, "weight": None, "insured": None}
    (said,) = model.score([customer])
    why = explain(model, customer, said, Contributor(model.folder, RUN_ID))
    row = xgboost.DMatrix(model.encoder.encode([customer]))
    found = train(contract, seed=1).predict(row, pred_contribs=True, validate_features=False)[0]
    by_column = dict(zip(model.encoder.columns, found.tolist(), strict=False))
    expected = dict.fromkeys(("items", "weight", "size", "country", "insured", "delivered"), 0.0)
    for column, amount in by_column.items():
        expected[column.partition("=")[0]] += amount
    assert why.contributions == pytest.approx(expected)
    assert why.base == pytest.approx(found[-1])


def test_document_names_what_an_answer_needs(tmp_path: Path, documented: Contract) -> None:
    model = Model.load(write_model(tmp_path / "model", documented, seed=1), RUN_ID)
    (said,) = model.score([documented.example])
    why = explain(model, dict(documented.example), said, Contributor(model.folder, RUN_ID))
    assert list(why.document()) == ["base", "contributions", "margin"]
    assert next(iter(why._replace(label="lost").document())) == "class"


def test_changed_model_is_not_explained(tmp_path: Path, documented: Contract) -> None:
    """A file that was changed after it was loaded is refused, not explained."""
    folder = write_model(tmp_path / "model", documented, seed=1)
    train(documented, seed=2).save_model(folder / MODEL_FILE)
    with pytest.raises(ModelError, match="not the file that was trained"):
        Contributor(folder, RUN_ID)
