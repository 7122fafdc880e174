"""The dataset contract: a strict YAML file that defines a customer."""

from mlstack.contract.contract import Contract, contract_files
from mlstack.contract.features import (
    CategoryFeature,
    Feature,
    IntegerFeature,
    NumberFeature,
    OrdinalFeature,
    Value,
)

__all__ = [
    "CategoryFeature",
    "Contract",
    "Feature",
    "IntegerFeature",
    "NumberFeature",
    "OrdinalFeature",
    "Value",
    "contract_files",
]
