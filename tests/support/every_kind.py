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
  - name: insured
    kind: boolean
    missing: allow
    meaning: Whether it is insured
    example: true
    raw: Insured
    raw_values: {Y: true, N: false}
  - name: delivered
    kind: date
    range: [2020-01-01, 2030-12-31]
    since: ordered
    missing: allow
    meaning: Day of delivery
    example: 2024-02-29
    raw: Delivered
    format: "%d.%m.%Y"
  - name: ordered
    kind: date
    range: [2020-01-01, 2030-12-31]
    missing: allow
    meaning: Day of the order
    example: 2024-02-27
    raw: Ordered
"""


def every_kind() -> Contract:
    """Parse the contract."""
    return Contract.parse(TEXT)
