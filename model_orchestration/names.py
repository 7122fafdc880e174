"""Names in MLflow that both writers and readers of a search use."""

MODEL = "model"
"""A run's model is `runs:/<run id>/model`."""

FLOW_RUN = "flow_run_id"
"""Parameter of a parent run: its flow run in Prefect."""
BEST_RUN = "best_run_id"
"""Tag of a parent run: run id of the winner."""
FAILURE = "failure"
"""Tag of a failed run: the reason."""
TEST_PREFIX = "test_"
"""Prefix of figures on test rows; figures without it are on validation rows."""

CHALLENGER = "challenger"
"""Alias of the newest version of a model."""
CHAMPION = "champion"
"""Alias of the best version so far."""
