"""Make glibc return more freed memory to the system; other C libraries are left alone."""

import ctypes

_M_ARENA_MAX = -8
"""As in glibc's malloc.h."""

_C_LIBRARY = ctypes.CDLL(None)


def share_one_arena() -> None:
    """Let all threads allocate from one arena, because each arena keeps its own freed memory.

    Threads that run Python code seldom allocate at the same time anyway.
    """
    if hasattr(_C_LIBRARY, "mallopt"):
        _C_LIBRARY.mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Return freed memory to the system."""
    if hasattr(_C_LIBRARY, "malloc_trim"):
        _C_LIBRARY.malloc_trim(0)
