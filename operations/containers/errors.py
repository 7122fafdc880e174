"""What can go wrong with the containers."""

from mlstack.errors import MlstackError


class ContainerError(MlstackError):
    """Docker is not there, or a container does not start, stop or answer."""
