"""Tests of the contract: strict loading, and the digest."""

import time
from pathlib import Path

import pytest

from mlstack.contract import CategoryFeature, Contract, OrdinalFeature, yaml_loader
from mlstack.errors import ContractError
from mlstack.settings import ROOT
from tests.support.contracts import binary
from tests.support.wide_contracts import many_values

TEXT = (ROOT / "contracts" / "credit_card_churn.yaml").read_text()


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_documented_contract_has_documented_features(documented: Contract) -> None:
    assert documented.feature_names == (
        "customer_age",
        "gender",
        "dependent_count",
        "education_level",
        "marital_status",
        "income_category",
        "card_category",
        "months_on_book",
        "total_relationship_count",
        "credit_limit",
        "total_revolving_bal",
    )
    assert documented.answer == "churn chance"


def test_documented_ordinals_keep_their_codes(documented: Contract) -> None:
    levels = {
        f.name: dict(zip(f.values, f.levels, strict=True))
        for f in documented.features
        if isinstance(f, OrdinalFeature)
    }
    assert levels["education_level"][3] == "Graduate"
    assert levels["income_category"][4] == "$120K +"


def test_full_contract_has_19_features_some_optional(full: Contract) -> None:
    assert len(full.features) == 19
    assert [f.name for f in full.features if f.may_be_missing] == [
        "education_level",
        "marital_status",
        "income_category",
    ]


@pytest.mark.parametrize(
    ("old", "new", "at", "reason"),
    [
        ("kind: number", "kind: numbr", "kind: numbr", "numbr"),
        ("range: [18, 120]", "range: [120, 18]", "name: customer_age", "is empty"),
        ("range: [18, 120]", "range: [18, 18]", "name: customer_age", "is empty"),
        ("range: [18, 120]", "range: [18.5, 120]", "range: [18.5", "integer"),
        ("range: [18, 120]", "range: [18, yes]", "range: [18, yes", "integer"),
        ("range: [18, 120]", "range: [18]", "range: [18]", ""),
        ("unit: years", "unitt: years", "unitt: years", "Extra inputs"),
        ("name: gender", "name: customer_age", "name: customer_age\n    kind: cat", "twice"),
        ("raw: Gender\n", "raw: Customer_Age\n", "raw: Customer_Age\n    raw_v", "twice"),
        ("raw: Gender\n", "raw: Attrition_Flag\n", "name: gender", "target is a feature"),
        ("name: gender", "name: churned", "name: churned\n    kind", "target is a feature"),
        ("name: gender", "name: prediction", "name: prediction", "reserved"),
        ("name: churned", "name: prediction_id", "name: prediction_id", "reserved"),
        ("answer: churn chance", "answer: model_run_id", "answer: model_run_id", "reserved"),
        ("range: [18, 120]", "range: [18, 9007199254740993]", "name: customer_age", "beyond"),
        ("range: [18, 120]", "range: [-9007199254740993, 120]", "name: customer_age", "beyond"),
        ("name: gender", "name: Gender of", "name: Gender of", "pattern"),
        ("raw: Gender\n", "raw: CLIENTNUM\n", "raw: CLIENTNUM", "dropped"),
        ("missing: refuse", "missing: refuse\n    missing: allow", "missing: allow", "twice"),
        ("missing: refuse", "missing: maybe", "missing: maybe", "refuse"),
        ("[married, single, divorced]", "[married, married, single]", "name: marital", "twice"),
        ("[married, single, divorced]", "[married, '<45', single]", "values: [married", "pattern"),
        (
            "Married: married",
            "Married: maried",
            "name: marital_status",
            "'maried', which is not one of its values",
        ),
        ("Single: single, ", "", "name: marital_status", "no raw value"),
        (
            "Doctorate: 5",
            "Doctorate: 7",
            "name: education_level",
            "7, which is not one of its values",
        ),
        ("example: 50", "example: 17", "name: customer_age", "example"),
        ("example: 50", "example: true", "example: true", "integer"),
        ("example: M", "example: X", "name: gender", "example"),
        ("test: 0.2", "test: 0.3", "split:", "add up"),
        ("positive: Attrited Customer", "positive: Existing Customer", "target:", "appears twice"),
        (
            "positive: Attrited Customer",
            "positive: [Attrited Customer, null]",
            "positive: [Attr",
            "'null' would be read as no value",
        ),
        ("positive: Attrited Customer", "positive: []", "positive: []", "at least 1"),
        ("    meaning: Gender of the customer\n", "", "name: gender", "Field required"),
        ("void_row_values: [Unknown]", "void_row_values: Unknown", "void_row", "tuple"),
        ("description:", "\tdescription:", "\tdescription", "is not YAML"),
        ("features:", "features: []\nmore:", "features: []", "at least 1"),
        ("name: credit_card_churn", "name: [1]", "name: [1]", "string"),
        ("name: credit_card_churn", "name: *a", "name: *a", "aliases are not allowed"),
        ("example: 50", "example: 2020-13-45", "example: 2020", "read as a date"),
        ("name: credit_card_churn", "name: &a b", "name: &a", "begins with & in quotes"),
        (
            "range: [18, 120]",
            "range: [18, 0o7]",
            "range: [18, 0o",
            "'0o7' is text: write it as a dec",
        ),
        ("range: [18, 120]", "range: [18, 1,200]", "range: [18, 1,", "thousands have no separator"),
        ("range: [18, 120]", "range: [18, 120 years]", "range: [18, 120 y", "is text: write it as"),
        ("range: [18, 120]", "range: [18, ~]", "range: [18, ~", "'~' would be read as no value"),
        ("range: [18, 120]", "range: [18, yes]", "range: [18, y", "'yes' would be read as true"),
        ("range: [18, 120]", "range: [18, 1.5e0]", "range: [18, 1.5", "valid integer"),
        ("range: [18, 120]", "range: 18-120", "range: 18-", "got '18-120': write a list: [A, B]"),
        ("train: 0.6", "train: 0,6", "split:", "decimal numbers have a point"),
        ("train: 0.6", "train: 60%", "split:", "'60%' is text: write it as a decimal number"),
        ("[Unknown]", "[?]", "void_row", "YAML reads ? as a mapping: write a text in quotes"),
        ("[Unknown]", "[a: b]", "void_row", "YAML reads a mapping: write a text in quotes"),
        ("[Unknown]", "[null]", "void_row", "'null' would be read as no value: write a text in q"),
        ("[Unknown]", "[&A, b]", "void_row", "begins with & in quotes"),
        ("[Unknown]", "[*A, b]", "void_row", "a text with * in quotes"),
        ("[Unknown]", "[@A, b]", "void_row", "a text with special characters in quotes"),
        ("[Unknown]", "[!A, b]", "void_row", "a text with special characters in quotes"),
        ("[Unknown]", "[\u201ca, b\u201d]", "void_row", "has a typographic quote"),
        ("positive: Attrited Customer", "positive:", "positive:", "it has no value"),
        (
            "positive: Attrited Customer",
            "positive: \u201cYes\u201d",
            "positive:",
            "typographic quote",
        ),
        ("meaning: Gender of", "meaning: Gender: of", "meaning: Gender: of", "in quotes"),
        ("meaning: Gender of", "\tmeaning: of", "\tmeaning: of", "spaces, not with tabs"),
        ("meaning: Gender of", "meaning:\u00a0of", "example: M", "invisible character (U+00A0)"),
        ("missing: refuse", "missing: no", "missing: no", "'no' would be read as false"),
        ("kind: category", "kind: off", "kind: off", "'off' would be read as false"),
        ("features:", "---\nfeatures:", "---", "a file has one document"),
        ("example: 50", "example: !!int abc", "example: !!int", "'abc' cannot be read"),
        ("example: 50", "example: \x01", "example: \x01", "character '\\x01' is not allowed"),
        ("[Unknown]", '["a\\0b"]', "void_row", "character '\\x00' is not allowed"),
        ("Married: married", '"a\\0b": married', '"a\\0b"', "character '\\x00' is not allowed"),
        ("range: [18, 120]", "range: [010, 120]", "range: [010", "'010' would be read as 8"),
        ("range: [18, 120]", "range: [18, 2:00]", "range: [18, 2", "'2:00' would be read as 120"),
        ("range: [18, 120]", "range: [18, 0x78]", "range: [18, 0x", "'0x78' would be read as 120"),
        ("range: [18, 120]", "range: [18, 1_20]", "range: [18, 1_", "'1_20' would be read as 120"),
    ],
)
def test_mistake_is_refused_with_line_and_reason(old: str, new: str, at: str, reason: str) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new, 1)
    with pytest.raises(ContractError) as caught:
        Contract.parse(text, "my.yaml")
    assert caught.value.path == "my.yaml"
    assert caught.value.line == line_of(text, at)
    assert reason in caught.value.reason


def test_many_values_are_read_in_linear_time() -> None:
    """Ten times as many values take about ten times as long, not a hundred times."""
    seconds = []
    for count in (800, 8000):
        contract = Contract.parse(many_values(2))
        status = next(f for f in contract.features if f.name == "marital_status")
        values = tuple(f"m{number}" for number in range(count))
        given = {"values": values, "raw_values": {v: v for v in values}, "example": "m0"}
        document = {**status.model_dump(), **given}
        began = time.process_time()
        CategoryFeature.model_validate(document)
        seconds.append(time.process_time() - began)
    assert seconds[1] < 40 * seconds[0]


def test_error_about_many_values_stays_short() -> None:
    """A contract's error names the one value that is wrong, shortened."""
    text = many_values(300, prefix="a" * 500)
    for old, new in (
        ("a0: ", f"a0: {'b' * 5000}"),
        ("a0: ", f"a0: [{'b' * 5000}], x: "),
        ("raw: Gender", f"raw: {'c' * 5000}\n    {'d' * 5000}: 1"),
        ("kind: number", f"kind: {'e' * 5000}"),
    ):
        with pytest.raises(ContractError) as caught:
            Contract.parse(text.replace(old, new, 1))
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("range: [0, 10000000]", "range: [0, 1e7]"),
        ("range: [18, 120]", "range: [18.0, '120']"),
        ("range: [18, 120]", "range: [18, \u00a0120]"),
        ("range: [18, 120]", "range: [18, 1.2e2]"),
        ("train: 0.6", "train: .6"),
        ("seed: 20221", "seed: 20221.0"),
        ("name: credit_card_churn", "\ufeffname: credit_card_churn"),
        ("name: credit_card_churn", "name:  credit_card_churn\u00a0"),
        ("\n", "\r\n"),
        ("unit: years", "unit: \u00a0years"),
    ],
)
def test_only_possible_reading_is_accepted(documented: Contract, old: str, new: str) -> None:
    """A number that YAML takes for text, invisible spaces and line ends change nothing."""
    assert old in TEXT
    assert Contract.parse(TEXT.replace(old, new)) == documented


@pytest.mark.parametrize(
    "text",
    ["NO", "y", "1", "1.10", "010", "1_000", "12:30", "2020-01-01", "2020-13-45", "1e3", "="],
)
def test_text_is_taken_as_it_is_written(text: str) -> None:
    """Where only a text can stand, no country becomes false and no time a number."""
    changed = TEXT.replace("positive: Attrited Customer", f"positive: {text}")
    changed = changed.replace("values: [F, M]", f"values: [{text}, SE]")
    changed = changed.replace("{F: F, M: M}", f"{{{text}: {text}, SE: SE}}")
    changed = changed.replace("example: M\n", f"example: {text}\n")
    changed = changed.replace("[Unknown]", f"[-, n/a, {text}]")
    contract = Contract.parse(changed)
    gender = next(f for f in contract.features if f.name == "gender")
    assert isinstance(gender, CategoryFeature)
    assert (binary(contract).positive, gender.values, gender.example) == (text, (text, "SE"), text)
    assert gender.raw_values == {text: text, "SE": "SE"}
    assert contract.clean_up.void_row_values == ("-", "n/a", text)


def test_quotes_inside_prose_stay(documented: Contract) -> None:
    """Typographic quotes around a word of a sentence are no mistake."""
    prose = "\u201cGood\u201d customers\u2019 gender"
    contract = Contract.parse(TEXT.replace("meaning: Gender of the customer", f"meaning: {prose}"))
    assert contract.features[1].meaning == prose
    assert contract.digest == documented.digest


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_file_in_another_encoding_is_read(
    documented: Contract, tmp_path: Path, encoding: str
) -> None:
    """A file that says its own encoding is read in it."""
    path = tmp_path / "my.yaml"
    path.write_bytes(TEXT.replace("\n", "\r\n").encode(encoding))
    assert Contract.load(path) == documented


def test_file_in_latin_1_is_refused_with_its_line(tmp_path: Path) -> None:
    """Its letters would be a guess."""
    path = tmp_path / "my.yaml"
    path.write_bytes(TEXT.replace("meaning: Gender", "meaning: Gend\u00e9r").encode("latin-1"))
    with pytest.raises(ContractError, match="is not UTF-8") as caught:
        Contract.load(path)
    assert caught.value.line == line_of(TEXT, "meaning: Gender")


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("features:", "\tfeatures:", 1)])
def test_both_parsers_give_the_same_contract(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without libyaml reads the same contract and the same error, only more slowly."""

    def read() -> str:
        try:
            return Contract.parse(text).model_dump_json()
        except ContractError as error:
            return str(error)

    fast = read()
    monkeypatch.setattr(yaml_loader, "CParser", None)
    assert read() == fast


@pytest.mark.parametrize("text", ["", "[]", "name", "- a\n- b", "{", "? [a]\n: 1", "[" * 5000])
def test_text_without_a_contract_is_refused(text: str) -> None:
    with pytest.raises(ContractError):
        Contract.parse(text)


def test_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"nowhere\.yaml"):
        Contract.load(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        (
            "credit_card_churn",
            "c1722f61dbcf1b0ff2f4e4a56bf3e9cd343e82b941a1a70d7eae17cc34890b63",
        ),
        (
            "credit_card_churn_full",
            "b5c02f67870551f7acadb6bd6f27f5df381a6fb682361785b890771e4cff5bc4",
        ),
    ],
)
def test_digest_of_shipped_contract_never_changes(name: str, digest: str) -> None:
    """Models made by earlier releases stay comparable with new ones."""
    assert Contract.load(ROOT / "contracts" / f"{name}.yaml").digest == digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# Credit card churn", "# Another comment"),
        ("meaning: Age of the customer", "meaning: How old"),
        ("example: 50", "example: 51"),
        ("sample: contracts/", "sample: elsewhere/"),
    ],
)
def test_digest_ignores_texts_for_people(documented: Contract, old: str, new: str) -> None:
    assert Contract.parse(TEXT.replace(old, new)).digest == documented.digest


def test_binary_target_takes_several_raw_values() -> None:
    """Each counts for the digest; a text where YAML reads something else is a text."""
    old = "positive: Attrited Customer"
    one, several, ignored = (
        Contract.parse(TEXT.replace(old, new))
        for new in ("positive: NO", "positive: [YES, 2]", f"{old}\n  ignored: [void, 1e3]")
    )
    assert binary(one).class_texts[1] == ("NO",)
    assert binary(several).class_texts[1] == ("YES", "2")
    assert binary(ignored).ignored == ("void", "1e3")
    assert len({one.digest, several.digest, ignored.digest, Contract.parse(TEXT).digest}) == 4


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("range: [18, 120]", "range: [18, 121]"),
        ("values: [F, M]", "values: [M, F]"),
        ("answer: churn chance", "answer: chance"),
        ("seed: 20221", "seed: 20222"),
    ],
)
def test_digest_covers_what_decides_an_answer(documented: Contract, old: str, new: str) -> None:
    assert Contract.parse(TEXT.replace(old, new)).digest != documented.digest


def test_raw_column_and_raw_values_may_be_left_out(documented: Contract) -> None:
    """Left out, they are the feature's name and its values: the contract is the same."""
    assert Contract.parse(TEXT.replace("    raw_values: {F: F, M: M}\n", "")).digest == (
        documented.digest
    )
    named = TEXT.replace("raw: Gender", "raw: gender")
    assert Contract.parse(named.replace("    raw: gender\n", "")).digest == (
        Contract.parse(named).digest
    )
