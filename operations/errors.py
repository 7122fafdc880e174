"""What can go wrong with a stack, wherever it runs."""

from mlstack.errors import MlstackError


class StackError(MlstackError):
    """The stack, or a part of it, does not start, stop or answer."""
