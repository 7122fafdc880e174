"""A model of a table's rows: column after column, each given those before it.

Sequential tree synthesis (Reiter 2005; `synthpop` in R): for each column a decision tree
finds real rows that are alike in the columns drawn so far, and the new value is drawn from
theirs. Values that few rows share are never handed on: the draw is from around them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from notebooks.sample.raw_table import Column, Numbers, RawTable, Relation

ROWS_PER_LEAF = 40
"""Real rows that a value is drawn from, at least: fewer remember single customers, more lose
what the columns have to do with each other (figures in notebooks/sample/README.md)."""

SHARED_BY = 10
"""Rows that share a number before it may be handed on as it is."""


class ConditionalTrees:
    """The rows of one class of a table.

    Args:
        table: The real table.
        of_class: Its class in the target's column.
    """

    def __init__(self, table: RawTable, of_class: str) -> None:
        rows = table.rows[table.rows[table.target] == of_class]
        self._target, self._class = table.target, of_class
        self._categories = {
            column.name: sorted(rows[column.name].unique()) for column in table.of_role("category")
        }
        self._steps: list[_Step] = []
        for column in table.of_role("category", "number"):
            relation = table.relations.get(column.name)
            if relation is None:
                before = self._matrix(rows, len(rows))
                self._steps.append(_Tree(column, before, rows, table.rows[column.name]))
            else:
                self._steps.append(_Computed(column, relation))

    def draw(self, count: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draws rows.

        Args:
            count: How many.
            rng: Where chance comes from.

        Returns:
            Target, categories and numbers, typed as `RawTable.rows`.
        """
        rows = pd.DataFrame({self._target: np.full(count, self._class, dtype=object)})
        for done, step in enumerate(self._steps):
            if isinstance(step, _Tree):
                rows[step.column.name] = step.draw(self._matrix(rows, count, done), rng)
            else:
                rows[step.column.name] = step.compute(rows)
        return rows

    def _matrix(self, rows: pd.DataFrame, count: int, done: int | None = None) -> Numbers:
        """The columns of the first steps as trees see them, of shape (count, width)."""
        # Before the first step there is one column that says nothing.
        blocks: list[Numbers] = [np.zeros((count, 1))]
        for step in self._steps[:done]:
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
    """A column that follows from two others."""

    column: Column
    relation: Relation

    def compute(self, rows: pd.DataFrame) -> Numbers:
        return _rounded(self.column, self.relation.apply(rows))


class _Tree:
    """A column given those before it.

    Args:
        column: The column.
        before: The columns before it, of shape (n_rows, width).
        rows: Real rows to learn from, of length n_rows.
        everywhere: The column in all of the table, where rare values are told from shared.
    """

    def __init__(
        self, column: Column, before: Numbers, rows: pd.DataFrame, everywhere: pd.Series
    ) -> None:
        self.column = column
        values = rows[column.name]
        if column.role == "number":
            self._tree = DecisionTreeRegressor(min_samples_leaf=ROWS_PER_LEAF, random_state=0)
            # Ranks, so that a few large values do not decide every split; missing is lowest.
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
        """Replaces rare values by ones between them and their neighbours among the donors."""
        rare = np.isin(values, self._rare)
        near = np.unique(donors[np.isin(donors, self._rare)])
        if len(near) == 1:
            # Alone in its leaf: its neighbours are those in the whole table.
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
    """Splits a number of rows among the classes by their real shares."""
    shares = pd.Series(classes).value_counts(normalize=True).sort_index()
    ends = np.rint(np.cumsum(shares.to_numpy()) * count).astype(int)
    return dict(zip(shares.index, np.diff(ends, prepend=0).tolist(), strict=True))
