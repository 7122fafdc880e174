"""Tests of what the C library's allocator keeps."""

import platform

import psutil
import pytest

from mlstack.allocator import give_back

MIB = 1024 * 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back")
def test_freed_memory_goes_back_to_the_system() -> None:
    """Also if a block that is in use lies behind it."""
    blocks = [bytes(2000) for _ in range(20_000)]
    last = bytes(2000)
    resident = psutil.Process().memory_info().rss
    del blocks
    give_back()
    assert psutil.Process().memory_info().rss < resident - 20 * MIB
    assert last
