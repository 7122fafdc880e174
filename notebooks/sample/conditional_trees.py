"""Model a table's rows column by column, each given the previous columns.

This is sequential tree synthesis (Reiter 2005; `synthpop` in R). For each column, a decision tree
finds real rows that are similar in the columns drawn so far, and a new value is sampled from
theirs. Rare numbers are never copied but replaced by numbers between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from notebooks.sample.real_table import Column, Numbers, RealTable, Relation

ROWS_PER_LEAF = 40
"""Minimum number of real rows that a value is drawn from.

With fewer, customers are memorised; with more, columns lose their relations (see the README).
"""

SHARED_BY = 10
"""Minimum number of rows that must share a number before it may be copied."""


class ConditionalTrees:
    """Draws rows of one class, whose name is a value of the real target column."""

    def __init__(self, table: RealTable, of_class: str) -> None:
        rows = table.rows[table.rows[table.target] == of_class]
        self._target, self._class = table.target, of_class
        self._categories = {
            column.name: sorted(rows[column.name].unique()) for column in table.of_role("category")
        }
        self._steps: list[_Step] = []
        for column in table.of_role("category", "number"):
            relation = table.relations.get(column.name)
            if relation is None:
                before = self._matrix(rows, self._steps)
                self._steps.append(_Tree(column, before, rows, table.rows[column.name]))
            else:
                self._steps.append(_Computed(column, relation))

    def draw(self, count: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw rows with target, categories and numbers, typed as `RealTable.rows`."""
        rows = pd.DataFrame({self._target: np.full(count, self._class, dtype=object)})
        for done, step in enumerate(self._steps):
            if isinstance(step, _Tree):
                rows[step.column.name] = step.draw(self._matrix(rows, self._steps[:done]), rng)
            else:
                rows[step.column.name] = step.compute(rows)
        return rows

    def _matrix(self, rows: pd.DataFrame, steps: "Sequence[_Step]") -> Numbers:
        """Encode the columns of these steps for the next tree; shape (n_rows, width)."""
        # The first step has no previous columns, so give its tree a constant one.
        blocks: list[Numbers] = [np.zeros((len(rows), 1))]
        for step in steps:
            name = step.column.name
            values = rows[name].to_numpy()
            levels = self._categories.get(name)
            if levels is None:
                blocks.append(values.astype(np.float64)[:, None])
            else:
                blocks.append(np.column_stack([values == level for level in levels]))
        return np.hstack(blocks)


@dataclass(frozen=True, slots=True)
class _Computed:
    """A column that is computed from two others."""

    column: Column
    relation: Relation

    def compute(self, rows: pd.DataFrame) -> Numbers:
        return _rounded(self.column, self.relation.apply(rows))


class _Tree:
    """A column that is sampled from real rows, given the previous columns.

    `everywhere` is the column in the whole table, which decides whether a value is rare.
    """

    def __init__(
        self, column: Column, before: Numbers, rows: pd.DataFrame, everywhere: pd.Series
    ) -> None:
        self.column = column
        values = rows[column.name]
        if column.role == "number":
            self._tree = DecisionTreeRegressor(min_samples_leaf=ROWS_PER_LEAF, random_state=0)
            # Ranks keep a few large values from dominating the splits; missing values rank lowest.
            self._tree.fit(before, values.rank(pct=True).fillna(0).to_numpy())
            counts = everywhere.value_counts()
            rare = np.sort(counts.index[counts < SHARED_BY].to_numpy(np.float64))
            self._rare: Numbers = rare
        else:
            self._tree = DecisionTreeClassifier(
                criterion="entropy", min_samples_leaf=ROWS_PER_LEAF, random_state=0
            )
            self._tree.fit(before, values.to_numpy())
        leaves = self._tree.apply(before)
        self._donors = {int(leaf): values.to_numpy()[leaves == leaf] for leaf in np.unique(leaves)}

    def draw(self, before: Numbers, rng: np.random.Generator) -> NDArray[np.object_] | Numbers:
        leaves = self._tree.apply(before)
        is_number = self.column.role == "number"
        drawn = np.empty(len(leaves), dtype=np.float64 if is_number else object)
        for leaf in np.unique(leaves):
            here = leaves == leaf
            donors = self._donors[int(leaf)]
            values = rng.choice(donors, size=int(here.sum()))
            drawn[here] = self._smooth(values, donors, rng) if is_number else values
        return _rounded(self.column, drawn) if is_number else drawn

    def _smooth(self, values: Numbers, donors: Numbers, rng: np.random.Generator) -> Numbers:
        """Replace rare values with draws between their neighbours among the donors."""
        rare = np.isin(values, self._rare)
        near = np.unique(donors[np.isin(donors, self._rare)])
        if len(near) == 1:
            # The leaf has one rare value, so use the neighbours in the whole table.
            near = self._rare
        middles = (near[1:] + near[:-1]) / 2
        bounds = np.concatenate([near[:1], middles, near[-1:]])
        at = np.searchsorted(near, values[rare])
        smoothed = values.copy()
        smoothed[rare] = rng.uniform(bounds[at], bounds[at + 1])
        return smoothed


_Step = _Tree | _Computed


def _rounded(column: Column, values: Numbers) -> Numbers:
    return values if column.number is None else column.number.round(values)


def class_counts(classes: Sequence[str], count: int) -> dict[str, int]:
    """Distribute a number of rows over the classes by their real shares."""
    shares = pd.Series(classes).value_counts(normalize=True).sort_index()
    ends = np.rint(np.cumsum(shares.to_numpy()) * count).astype(int)
    return dict(zip(shares.index, np.diff(ends, prepend=0).tolist(), strict=True))
