"""The reference of contracts says what their model says now."""

from operations.contract_reference import FILE, reference


def test_reference_is_up_to_date() -> None:
    """Whoever changes the model writes the page again."""
    assert FILE.read_text(encoding="utf-8") == reference(), "run: make contract-reference"


def test_every_key_is_explained() -> None:
    """A text stands below each field of the model."""
    assert [line for line in reference().splitlines() if line.endswith("|  |")] == []
