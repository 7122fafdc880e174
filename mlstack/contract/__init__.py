"""The dataset contract: what a customer is, read from one strict YAML file."""

from mlstack.contract.contract import (
    RESERVED_NAMES,
    CategoryFeature,
    Contract,
    Feature,
    IntegerFeature,
    NumberFeature,
    OrdinalFeature,
    Value,
)

__all__ = [
    "RESERVED_NAMES",
    "CategoryFeature",
    "Contract",
    "Feature",
    "IntegerFeature",
    "NumberFeature",
    "OrdinalFeature",
    "Value",
]
