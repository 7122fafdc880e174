"""Work ahead: a thread makes the next item while the caller uses the last one."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield items, whose next one a thread makes meanwhile; its exceptions are raised here."""
    source = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        following = thread.submit(_take, source)
        while item := following.result():
            following = thread.submit(_take, source)
            yield item[0]


def _take(source: Iterator[T]) -> tuple[T] | None:
    for item in source:
        return (item,)
    return None
