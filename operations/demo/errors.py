"""What can go wrong with the demonstration."""

from mlstack.errors import MlstackError


class DemoError(MlstackError):
    """The stack is not up, or nobody notices what is sent to it."""
