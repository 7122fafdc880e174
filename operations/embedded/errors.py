"""What can go wrong with the embedded environment."""

from mlstack.errors import MlstackError


class StackError(MlstackError):
    """A service does not start, stop or answer."""
