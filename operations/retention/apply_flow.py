"""Makes Prefect know the pruning flow and its schedule; part of `make setup-model-registry`."""

import sys

from mlstack.flows.apply import apply_command
from operations.retention.deployment import retention_flow


def main() -> int:
    """Entry point."""
    return apply_command(retention_flow)


if __name__ == "__main__":
    sys.exit(main())
