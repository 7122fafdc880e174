"""Stream servers that share the shards of a stream, and die under load."""

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

from tests.support.stream_server import StreamServer
from tests.support.waiting import wait_until

_SPREAD_SECONDS = 180
"""Time until each instance has shards, or all shards have an instance."""


class Fleet:
    """Instances with one state folder, as containers have it on one machine.

    Args:
        first: One of them, not started.
        size: Their number.
        chance: Decides which one dies, and when.
    """

    def __init__(self, first: StreamServer, size: int, chance: random.Random) -> None:
        self.servers = [first, *(first.another() for _ in range(size - 1))]
        self.kills = 0
        self._chance, self._stack = chance, ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            for server in self.servers:
                stack.enter_context(server)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def shards(self) -> list[int]:
        """Count the shards that each living instance reads."""
        return [server.shards() for server in self.servers if server.process.poll() is None]

    def wait_until_shared(self, shards: int) -> None:
        """Wait until the instances read so many shards together, and none of them idles."""
        wait_until(
            lambda: sum(self.shards()) == shards and min(self.shards()) > 0,
            f"{len(self.servers)} instances share {shards} shards",
            _SPREAD_SECONDS,
        )

    def kill_one(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Kill an instance within so many seconds, and start it again within as many.

        Args:
            seconds: Longest wait before each of the two.
            meanwhile: Called while the instance is dead.
        """
        time.sleep(self._chance.uniform(0, seconds))
        # One without a shard dies unnoticed.
        reading = [server for server in self.servers if server.shards()]
        server = self._chance.choice(reading or self.servers)
        server.kill()
        self.kills += 1
        meanwhile()
        time.sleep(self._chance.uniform(0, seconds))
        server.start()
        wait_until(server.answers, f"the instance is back; {server.log}")
