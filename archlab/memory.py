"""How the C library hands out memory. A step needs blocks of the same sizes as the one before it.

By itself glibc gives large blocks back to the system and gets them anew, and the system clears every page that is
touched first. Where another C library runs, nothing happens.
"""

import contextlib
import ctypes
import functools
import mmap
import os
import sys
from collections.abc import Iterator
from typing import Any

TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8  # of malloc.h
SET_THP_DISABLE, GET_THP_DISABLE = 41, 42  # of linux/prctl.h
HUGE_PAGE = 1 << 21


@functools.cache
def keep_freed() -> None:
    """Keep freed memory for what is asked for next: for the rest of this process, none goes back to the system."""
    if mallopt := _function("mallopt"):
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)


@functools.cache
def share_arena() -> None:
    """Have threads that start from now on ask for memory in one place.

    A thread's own arena takes no block above 64 MiB, whatever :func:`keep_freed` says.
    """
    if mallopt := _function("mallopt"):
        mallopt(ARENA_MAX, 1)


@functools.cache
def use_huge_pages() -> None:
    """Have the memory that comes next, up to half of the machine's, in pages of 2 MiB where the system has them.

    It is asked for once and freed untouched; after :func:`keep_freed` it then lies ready, and takes no room before it
    is used.
    """
    malloc, free, madvise = (_function(name) for name in ("malloc", "free", "madvise"))
    if not (malloc and free and madvise and hasattr(mmap, "MADV_HUGEPAGE")):
        return
    size = os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE // 2
    malloc.restype = ctypes.c_void_p
    start = malloc(ctypes.c_size_t(size))
    if start is None:
        return  # a limit on this process's addresses
    first = -(-start // HUGE_PAGE) * HUGE_PAGE
    madvise(
        ctypes.c_void_p(first), ctypes.c_size_t((start + size - first) // HUGE_PAGE * HUGE_PAGE), mmap.MADV_HUGEPAGE
    )
    free(ctypes.c_void_p(start))


@contextlib.contextmanager
def small_pages() -> Iterator[None]:
    """Memory that is first touched inside comes in pages of the usual size, whoever has asked for larger ones.

    Where memory is in pieces, Linux moves other pages about to find 2 MiB at a stretch, which takes longer than to fill
    them: for much memory that is written once.
    """
    prctl = _function("prctl")
    before = prctl(GET_THP_DISABLE, 0, 0, 0, 0) if prctl else -1
    if before != 0:  # no such thing here, or so it is already
        yield
        return
    prctl(SET_THP_DISABLE, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(SET_THP_DISABLE, 0, 0, 0, 0)


def _function(name: str) -> Any:
    """One of glibc's; None of other libraries, whose allocators know nothing of these options."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return getattr(library, name, None) if hasattr(library, "gnu_get_libc_version") else None
