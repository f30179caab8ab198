import subprocess
import sys

import pytest

PROGRAM = """
import sys
import threading
import numpy as np
from archlab import memory

def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def use():
    np.ones(100 << 20, dtype=np.uint8)

for prepare in sys.argv[2:]:
    getattr(memory, prepare)()
before = held()
if sys.argv[1] == "main":
    use()
else:
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
print(held() - before)
"""


def left(where, *prepared):
    """Bytes that a process still holds after 100 MiB were used and freed, in its first thread or another."""
    command = [sys.executable, "-c", PROGRAM, where, *prepared]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="these are options of glibc")
def test_freed_memory_is_kept():
    much = 90 << 20
    assert left("main") < much
    assert left("main", "keep_freed") > much
    assert left("main", "keep_freed", "use_huge_pages") > much
    assert left("thread", "share_arena", "keep_freed") > much


PAGES = """
import mmap
from archlab import memory

prctl = memory._function("prctl")

def disabled():
    return prctl(memory.GET_THP_DISABLE, 0, 0, 0, 0)

def filled():
    area = mmap.mmap(-1, 8 * memory.HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_HUGEPAGE)
    area[:] = b"x" * len(area)
    return area

kept = [disabled()]
with memory.small_pages():
    kept.append(disabled())
    with memory.small_pages():
        pass
    kept.append(disabled())
    area = filled()
    lines = open("/proc/self/smaps_rollup").read().splitlines()
kept.append(disabled())
print(kept, next(line.split()[1] for line in lines if line.startswith("AnonHugePages")))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="these are pages of Linux")
def test_pages_are_small_inside_and_as_before_outside():
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True)
    assert done.stdout.split("] ") == ["[0, 1, 1, 0", "0\n"]
