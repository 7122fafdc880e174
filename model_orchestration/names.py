"""What a search's things are called in MLflow: for those who write them and who read them."""

MODEL = "model"
"""A run's model is `runs:/<run id>/model`."""

FLOW_RUN = "flow_run_id"
"""Parameter of a parent run: the flow run in Prefect that it comes from."""
BEST_RUN = "best_run_id"
"""Tag of a parent run: the run of the search's winner."""
FAILURE = "failure"
"""Tag of a failed run: why."""
TEST_PREFIX = "test_"
"""Figures on the test rows; those without it are on the validation rows."""

CHALLENGER = "challenger"
"""Alias of the newest version."""
CHAMPION = "champion"
"""Alias of the version that no later one has beaten."""
