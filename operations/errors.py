"""The base error of every environment's stack."""

from mlstack.errors import MlstackError


class StackError(MlstackError):
    """The stack, or a part of it, does not start, stop or answer."""
