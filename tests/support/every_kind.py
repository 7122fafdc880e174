"""A contract with every kind of feature, and none of their values by chance."""

from mlstack.contract import Contract

TEXT = """\
name: parcels
description: Which parcels come back.
answer: return chance
data: {key: parcels/parcels.csv}
clean_up: {}
split: {train: 0.6, validation: 0.2, test: 0.2, seed: 7}
target: {name: returned, raw: Back, positive: "yes", negative: "no", meaning: The parcel came back.}
features:
  - name: items
    kind: integer
    range: [1, 50]
    missing: refuse
    meaning: Items
    example: 2
    raw: Items
  - name: weight
    kind: number
    range: [0, 30]
    missing: allow
    meaning: Weight
    example: 1.5
    raw: Weight
  - name: size
    kind: ordinal
    levels: [small, large]
    missing: allow
    meaning: Size
    example: 1
    raw: Size
    raw_values: {S: 0, L: 1}
  - name: country
    kind: category
    values: [home, near, elsewhere]
    other: elsewhere
    missing: allow
    meaning: Where to
    example: home
    raw: Country
    raw_values: {DE: home, AT: near, CH: near}
"""


def every_kind() -> Contract:
    """Parse the contract."""
    return Contract.parse(TEXT)
