"""Score every row of a table through the deployed run.

A scoring that was killed goes on where it stopped, with the run that was deployed when it began: a
file beside OUT says how far it has come. A row has the same prediction id each time it is scored.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mlstack import failpoints
from mlstack.contract import Contract
from mlstack.contract.prediction_fields import DECISION, PREDICTION, PREDICTION_ID
from mlstack.contract.target import MulticlassTarget, Scored
from mlstack.data.customer_table import table_customers
from mlstack.data.judging import Verdict, judge, prove_numbers
from mlstack.data.number_columns import NumberProof
from mlstack.data.table_parts import read_parts
from mlstack.data.text_table import TextTable
from mlstack.deployment.record import DeploymentState
from mlstack.errors import DataError
from mlstack.model.model import Model
from mlstack.model.model_store import ModelStore
from mlstack.model.targets import scored
from mlstack.prediction_log.prediction import (
    BATCH,
    ModelCall,
    Origin,
    Prediction,
    PredictionSink,
)
from mlstack.prediction_log.prediction_log import PredictionLog
from mlstack.settings import Settings
from operations.scoring.ahead import ahead
from operations.scoring.output import Output, Row
from operations.scoring.progress import (
    Progress,
    ScoringError,
    prediction_id,
    table_digest,
)

Say = Callable[[str], None]

_BATCH = 10_000
_SAY_SECONDS = 2.0
_ROW, _REASON = "row", "reason"
_ORIGIN = Origin(BATCH)


class _ScoredPart(NamedTuple):
    """A part of a table whose rows are judged and scored, but not kept."""

    last: int
    """Number of its last row."""
    verdict: Verdict
    predicted: list[Scored]
    """What the model predicts for each row that fits."""


class Scoring:
    """One table, one model, one output.

    Args:
        model: The model of the run that the progress names.
        log: Keeps the predictions.
        say: Gets sentences about the progress.
    """

    def __init__(self, model: Model, log: PredictionSink, output: Output, say: Say) -> None:
        self._model, self._log = model, log
        self._output, self._say = output, say
        self._said_at = time.monotonic()

    def run(self, table: Path, progress: Progress) -> Progress:
        """Score the rows after those of the progress; return it when all are scored.

        Raises:
            DataError: the table cannot be read, or lacks a column.
            SpoolError: predictions cannot be kept; the next call goes on.
        """
        self._output.resume(progress.sizes)
        total, proof = self._examine(table)
        rows_left = (part for part in read_parts(table) if int(part.index[-1]) > progress.row)
        for part in ahead(self._score(part, proof) for part in rows_left):
            lines = self._keep(part, progress)
            failpoints.reached("rows_kept")
            verdict = part.verdict
            sizes = self._output.append(lines, verdict.misfits.items())
            failpoints.reached("rows_written")
            progress = progress.model_copy(
                update={
                    "row": part.last,
                    "scored": progress.scored + len(verdict.rows),
                    "rejected": progress.rejected + len(verdict.misfits),
                    "sizes": sizes,
                }
            )
            progress.save(self._output.progress)
            self._tell(progress, total)
        progress = progress.model_copy(update={"complete": True})
        progress.save(self._output.progress)
        return progress

    def _examine(self, table: Path) -> tuple[int, NumberProof]:
        """Read the table once, to count its rows and to see how it writes numbers."""
        total, proof = 0, NumberProof()
        for part in ahead(read_parts(table)):
            total += len(part)
            proof.add(prove_numbers(part, self._model.contract))
        return total, proof

    def _score(self, part: TextTable, proof: NumberProof) -> _ScoredPart:
        model = self._model
        verdict = judge(part, model.contract, proof)
        predicted: list[Scored] = []
        for batch in _batches(verdict.rows):
            matrix = model.encoder.encode_frame(verdict.rows.iloc[batch])
            predicted += scored(model.contract.target, model.score_matrix(matrix))
        return _ScoredPart(int(part.index[-1]), verdict, predicted)

    def _keep(self, part: _ScoredPart, progress: Progress) -> list[Row]:
        """Keep the predictions of a part; return the rows of the output."""
        lines: list[Row] = []
        contract, run_id, verdict = self._model.contract, progress.run_id, part.verdict
        for batch in _batches(verdict.rows):
            rows = verdict.rows.iloc[batch]
            customers = table_customers(rows, contract)
            numbers = rows.index.tolist()
            ids = [prediction_id(progress.table_sha256, run_id, row) for row in numbers]
            columns: list[Sequence[object]] = [numbers, ids]
            if contract.key and verdict.keys is not None:
                keys = verdict.keys[batch].tolist()
                columns = [numbers, keys, ids]
                for customer, key in zip(customers, keys, strict=True):
                    if key:
                        customer[contract.key.name] = key
            call = ModelCall(run_id, contract, datetime.now(UTC))
            predictions = [
                Prediction(name, customer, each, _ORIGIN, call)
                for name, customer, each in zip(ids, customers, part.predicted[batch], strict=True)
            ]
            self._log.keep(predictions)
            columns += zip(*map(_cells, predictions), strict=True)
            lines += zip(*columns, strict=True)
        return lines

    def _tell(self, progress: Progress, total: int) -> None:
        if time.monotonic() - self._said_at > _SAY_SECONDS:
            self._said_at = time.monotonic()
            done = progress.scored + progress.rejected
            self._say(f"{done:,} of {total:,} rows")


def _batches(rows: pd.DataFrame) -> Iterator[slice]:
    """Divide rows into slices: the matrix of a whole part might not fit into memory."""
    return (slice(start, start + _BATCH) for start in range(0, len(rows), _BATCH))


def output_columns(contract: Contract) -> dict[str, str]:
    """Return the columns of the output and their types in SQL."""
    key = {contract.key.name: "VARCHAR"} if contract.key and contract.key.raw else {}
    columns = {_ROW: "BIGINT", **key, PREDICTION_ID: "VARCHAR"}
    if contract.threshold is not None:
        return {**columns, PREDICTION: "DOUBLE", DECISION: "BOOLEAN"}
    if not isinstance(contract.target, MulticlassTarget):
        return {**columns, PREDICTION: "DOUBLE"}
    names = (f"probability of {label}" for label in contract.target.classes)
    return {**columns, PREDICTION: "VARCHAR", **dict.fromkeys(names, "DOUBLE")}


def _cells(prediction: Prediction) -> tuple[object, ...]:
    """Return what the output has of a prediction after its id."""
    said, decision = prediction.scored, prediction.decision
    if decision is not None:
        return (said.prediction, "true" if decision else "false")
    return (said.prediction, *(said.probabilities or ()))


def score(settings: Settings, table: Path, out: Path, say: Say) -> Progress:
    """Score a table into a file, or go on with a scoring that was killed.

    Raises:
        ScoringError: nothing is deployed, or the files do not belong together.
        ModelError: the model cannot be loaded.
        DataError: the table cannot be read, or lacks a column.
        SpoolError: predictions cannot be kept; start again, and it goes on.
    """
    contract = Contract.load(settings.contract_path)
    with Output(out, output_columns(contract), (_ROW, _REASON)) as output:
        progress = _begin(settings, table, output, say)
        if not progress.complete:
            model = ModelStore.of(settings).load(progress.run_id)
            # Its key may be newer than the model.
            model.follow_contract(contract)
            log = PredictionLog(settings, BATCH)
            log.start()
            try:
                progress = Scoring(model, log, output, say).run(table, progress)
            except DataError as error:
                raise DataError(*error.faults, origin=f"DATA={table}") from error
            finally:
                log.stop()
        failpoints.reached("rows_complete")
        output.finish(rejects=progress.rejected > 0)
    return progress


def _begin(settings: Settings, table: Path, output: Output, say: Say) -> Progress:
    digest = table_digest(table)
    if progress := Progress.load(output.progress):
        if progress.table_sha256 != digest:
            raise ScoringError(
                f"{output.progress} is about another table than {table}: choose another OUT, or "
                "remove that file to score from the start"
            )
        say(f"going on after row {progress.row:,}, with run {progress.run_id}")
        return progress
    if output.path.exists():
        raise ScoringError(f"OUT={output.path} exists: remove it, or choose another name")
    record = DeploymentState(settings.state_path).record()
    if record is None:
        raise ScoringError("nothing is deployed: run make deploy RUN_ID=... first")
    progress = Progress(table_sha256=digest, run_id=record.run_id)
    progress.save(output.progress)
    say(f"scoring {table} with run {record.run_id}")
    return progress


def score_and_tell(settings: Settings, table: Path, out: Path, say: Say) -> None:
    """Score as `score` does, and say how many rows were scored."""
    # Libraries report each connection.
    logging.getLogger("mlstack").setLevel(logging.WARNING)
    began = time.monotonic()
    progress = score(settings, table, out, say)
    say(f"{progress.scored:,} rows are scored, in {time.monotonic() - began:.0f} s: {out.name}")
    if progress.rejected:
        rejected = f"{out.stem}.rejected.csv"
        say(f"{progress.rejected:,} rows do not fit the contract: {rejected}")
