"""A stop request whose waits are recorded instead of made."""

from mlstack.waiting import Stop


class HastyStop(Stop):
    """Does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        assert seconds > 0
        self.waits.append(seconds)
        return self.requested
