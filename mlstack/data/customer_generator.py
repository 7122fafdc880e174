"""Draw customers as the business would send them.

`python -m mlstack.data.customer_generator` writes the customers of each contract's sample as JSON.
The simulators' images are built with these files, so that they do not need pandas.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path

from mlstack.command_line import run
from mlstack.contract import (
    ChoiceFeature,
    Contract,
    DateFeature,
    Feature,
    NumberFeature,
    Value,
    contract_files,
)
from mlstack.contract.customer_schema import Customer
from mlstack.contract.days import day_number, day_text
from mlstack.data.marginals import Marginals
from mlstack.files import write_atomically
from mlstack.settings import ROOT


class CustomerGenerator:
    """Draws valid customers.

    If the contract has a sample, customers are drawn from it, so that features are related as in
    the real table. Otherwise each feature is drawn by its marginal, and uniformly from its allowed
    values while there are no marginals. Results are reproducible for a given seed.
    """

    def __init__(self, contract: Contract, seed: int) -> None:
        self.marginals: Marginals | None = None
        self._contract = contract
        self._random = random.Random(seed)  # noqa: S311 - simulation, no secret
        self._sample = sample_customers(contract)

    def draw(self, count: int) -> list[Customer]:
        """Draw `count` customers, with replacement."""
        if self._sample:
            return [dict(customer) for customer in self._random.choices(self._sample, k=count)]
        if self.marginals is not None:
            return [self.marginals.draw(self._contract, self._random) for _ in range(count)]
        return [
            {feature.name: self._draw_value(feature) for feature in self._contract.features}
            for _ in range(count)
        ]

    def _draw_value(self, feature: Feature) -> Value:
        if isinstance(feature, ChoiceFeature):
            values: Sequence[Value] = feature.values
            return self._random.choice(values)
        if isinstance(feature, DateFeature):
            return day_text(self._random.randint(*map(day_number, feature.range)))
        if isinstance(feature, NumberFeature):
            return self._random.uniform(*feature.range)
        return self._random.randint(*feature.range)


def sample_customers(contract: Contract) -> list[Customer]:
    """Read the clean customers of the sample; empty if the contract has no sample.

    Raises DataError if the sample does not match the contract.
    """
    if contract.data.sample is None:
        return []
    path = _json_path(contract)
    if path.exists():
        written = json.loads(path.read_bytes())
        if written["contract"] == contract.digest:
            customers: list[Customer] = written["customers"]
            return customers
    return _clean_customers(contract, ROOT / contract.data.sample)


def _clean_customers(contract: Contract, sample: Path) -> list[Customer]:
    from mlstack.data.customer_table import table_customers  # noqa: PLC0415 - as below
    from mlstack.data.dataset import clean, read_raw  # noqa: PLC0415 - needs pandas, see above

    return table_customers(clean(read_raw(sample), contract), contract)


def main() -> None:
    """Write the sample customers of all contracts."""
    for file in contract_files(ROOT / "contracts"):
        contract = Contract.load(file)
        if customers := sample_customers(contract):
            document = {"contract": contract.digest, "customers": customers}
            write_atomically(_json_path(contract), json.dumps(document).encode())


def _json_path(contract: Contract) -> Path:
    return ROOT / "contracts" / f"{contract.name}.customers.json"


if __name__ == "__main__":
    run(main)
