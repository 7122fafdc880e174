"""`make apply-prediction-reporting`: Prefect knows the reporting flow and its schedule."""

import sys

from mlstack.flows.apply import apply_command
from reporting.deployment import reporting_flow


def main() -> int:
    """Entry point of `make apply-prediction-reporting`."""
    return apply_command(reporting_flow)


if __name__ == "__main__":
    sys.exit(main())
