"""How one flow is deployed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDeployment:
    """A flow with its schedule and parameters, as the settings have them.

    One run at a time: one that comes due while another is going on is cancelled.
    """

    flow: str
    """Name of the flow, and of its only deployment."""

    entrypoint: str
    """File from the project's root, and function in it: `package/module.py:function`."""

    parameters: Mapping[str, Any]
    """Of the flow's function, as JSON has them."""

    every_minutes: int
    """Period of the schedule."""

    description: str
    """For Prefect's pages: what goes in, what comes out."""

    remark: str = ""
    """What a person wants to hear of the parameters when the flow is applied."""

    apply_target: str
    """The make target that applies it."""

    run_target: str
    """The make target that runs it now."""

    @property
    def path(self) -> str:
        """What Prefect finds the deployment by."""
        return f"{self.flow}/{self.flow}"
