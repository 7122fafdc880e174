"""Names in MLflow that writers and readers of a search share."""

MODEL = "model"
"""Name of a run's model: `runs:/<run id>/model`."""

FLOW_RUN = "flow_run_id"
"""Parameter of a parent run: the Prefect flow run."""
FAILURE = "failure"
"""Tag of a failed run: the reason."""
STOPPED = "stopped_early"
"""Tag of a run whose training ended because it could no longer become the best."""
TEST_PREFIX = "test_"
"""Prefix of metrics on test rows; metrics without it are on validation rows."""

CHALLENGER = "challenger"
"""Alias of the newest version of a model."""
CHAMPION = "champion"
"""Alias of the best version so far."""
