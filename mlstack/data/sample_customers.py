"""The customers of a contract's sample.

`python -m mlstack.data.sample_customers` writes those of every contract beside their samples, as
JSON: images that only draw customers are built with it, and do without pandas.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from mlstack.contract import Contract, NumberFeature
from mlstack.contract.customer_schema import Customer
from mlstack.errors import MlstackError
from mlstack.files import write_atomically
from mlstack.settings import ROOT


def sample_customers(contract: Contract) -> list[Customer]:
    """Clean customers of the sample; none when the contract has no sample.

    Raises:
        DataError: the sample does not fit the contract.
    """
    if contract.data.sample is None:
        return []
    path = _path(contract)
    if path.exists():
        written = json.loads(path.read_bytes())
        if written["contract"] == contract.digest:
            customers: list[Customer] = written["customers"]
            return customers
    return list(_cleaned(contract, ROOT / contract.data.sample))


def main() -> int:
    """Writes the customers of every contract that has a sample."""
    for file in sorted((ROOT / "contracts").glob("*.yaml")):
        if file.name.endswith(".drifts.yaml"):
            continue
        contract = Contract.load(file)
        if customers := sample_customers(contract):
            document = {"contract": contract.digest, "customers": customers}
            write_atomically(_path(contract), json.dumps(document).encode())
    return 0


def _path(contract: Contract) -> Path:
    return ROOT / "contracts" / f"{contract.name}.customers.json"


def _cleaned(contract: Contract, sample: Path) -> Iterator[Customer]:
    from mlstack.data.dataset import clean, read_raw  # noqa: PLC0415 - see the module

    rows = clean(read_raw(sample), contract)
    features = rows[list(contract.feature_names)].astype(object)
    whole = [f.name for f in contract.features if not isinstance(f, NumberFeature)]
    for row in features.where(features.notna(), None).to_dict("records"):
        # A column with missing values is one of floats; a whole number in it is still one.
        yield {
            str(name): int(value) if name in whole and isinstance(value, float) else value
            for name, value in row.items()
        }


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MlstackError as error:
        sys.exit(str(error))
