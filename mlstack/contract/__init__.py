"""The dataset contract: a strict YAML file that defines a customer."""

from mlstack.contract.contract import Contract, contract_files
from mlstack.contract.features import (
    BooleanFeature,
    CategoryFeature,
    ChoiceFeature,
    DateFeature,
    Feature,
    IntegerFeature,
    NumberFeature,
    OrdinalFeature,
    Value,
)

__all__ = [
    "BooleanFeature",
    "CategoryFeature",
    "ChoiceFeature",
    "Contract",
    "DateFeature",
    "Feature",
    "IntegerFeature",
    "NumberFeature",
    "OrdinalFeature",
    "Value",
    "contract_files",
]
