"""Work ahead: a thread makes the next item while the caller uses the last one."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield items, whose next one a thread makes meanwhile; its exceptions are raised here."""
    source = iter(items)

    def take() -> list[T]:
        return list(islice(source, 1))

    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        following = thread.submit(take)
        while taken := following.result():
            following = thread.submit(take)
            yield from taken
