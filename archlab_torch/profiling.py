"""Where time and memory go, by ``torch.profiler`` and the allocator of CUDA."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity

from archlab.backends import STREAMED, STREAMS, Spent

TRACE = "trace.json.gz"  # for https://ui.perfetto.dev and chrome://tracing


@contextlib.contextmanager
def profile(folder: Path) -> Iterator[list[Spent]]:
    """See :meth:`archlab.backends.Backend.profile`; times of the processor are those of operators on all threads."""
    gpu = torch.cuda.is_available()
    found: list[Spent] = []
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    with torch.profiler.profile(activities=activities) as profiler:
        yield found
        if gpu:
            torch.cuda.synchronize()
    profiler.export_chrome_trace(str(folder / TRACE))
    events = profiler.key_averages()
    kernels = [
        Spent(name=event.key, calls=event.count, ms=event.self_device_time_total / 1e3)
        for event in events
        if event.device_type == DeviceType.CUDA
    ]
    found += kernels or [Spent(name=e.key, calls=e.count, ms=e.self_cpu_time_total / 1e3) for e in events]


def memory() -> dict[str, int]:
    """See :meth:`archlab.backends.Backend.memory`."""
    if not torch.cuda.is_available():
        return {}
    fullest = max(range(torch.cuda.device_count()), key=torch.cuda.max_memory_allocated)
    return {"allocated": torch.cuda.memory_allocated(fullest), "peak": torch.cuda.max_memory_allocated(fullest)}


def bandwidth(device: torch.device) -> float:
    """See :meth:`archlab.backends.Backend.bandwidth`."""
    array, seconds = torch.zeros(STREAMED // 4, dtype=torch.float32, device=device), []
    for _ in range(STREAMS):
        _wait(device)
        begin = time.perf_counter()
        array.add_(1)
        _wait(device)
        seconds.append(time.perf_counter() - begin)
    return 2 * STREAMED / min(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
