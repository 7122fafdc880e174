"""`make apply-model-train-flow`: Prefect knows the training flow and its schedule."""

import sys

from mlstack.flows.apply import apply_command
from model_orchestration.deployment import training_flow


def main() -> int:
    """Entry point of `make apply-model-train-flow`."""
    return apply_command(training_flow)


if __name__ == "__main__":
    sys.exit(main())
