"""Where time and memory go, by ``jax.profiler`` and the devices' allocators."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from archlab.backends import STREAMED, STREAMS, Spent


@contextlib.contextmanager
def profile(folder: Path) -> Iterator[list[Spent]]:
    """See :meth:`archlab.backends.Backend.profile`.

    The trace is an ``xplane.pb`` for TensorBoard and XProf, and a ``trace.json.gz`` for https://ui.perfetto.dev.
    """
    found: list[Spent] = []
    before = set(folder.rglob("*.xplane.pb"))
    with jax.profiler.trace(str(folder)):
        yield found
    for path in set(folder.rglob("*.xplane.pb")) - before:
        found += spent(jax.profiler.ProfileData.from_file(str(path)))


def spent(data: Any) -> list[Spent]:
    """The operations of XLA in a profile; those that differ only in their number are one."""
    totals: dict[str, tuple[int, float]] = {}
    for plane in data.planes:
        for line in plane.lines:
            for name, own in _own_times(line.events):
                calls, ms = totals.get(name, (0, 0.0))
                totals[name] = calls + 1, ms + own / 1e6
    return [Spent(name=name, calls=calls, ms=ms) for name, (calls, ms) in totals.items()]


def _own_times(events: Iterable[Any]) -> Iterator[tuple[str, float]]:
    """(name, nanoseconds) of each operation on one thread, without those within it: loops hold their bodies."""
    running: list[list[Any]] = []  # name, end, own time
    for event in sorted(filter(_is_operation, events), key=lambda e: (e.start_ns, -e.duration_ns)):
        end = event.start_ns + event.duration_ns
        while running and running[-1][1] <= event.start_ns:
            yield _closed(running)
        if running:
            running[-1][2] -= event.duration_ns
        running.append([event.name.partition(".")[0], end, event.duration_ns])
    while running:
        yield _closed(running)


def _closed(running: list[list[Any]]) -> tuple[str, float]:
    name, _, own = running.pop()
    return name, own


def _is_operation(event: Any) -> bool:
    """Whether an event is a program's own: the end of one that goes on elsewhere has another name."""
    return any(key == "hlo_op" for key, _ in event.stats)


def memory() -> dict[str, int]:
    """See :meth:`archlab.backends.Backend.memory`. JAX reserves most of a GPU at once; this is what is used of it."""
    known = [stats for device in jax.local_devices() if (stats := device.memory_stats())]
    if not known:
        return {}
    fullest = max(known, key=lambda stats: stats["peak_bytes_in_use"])
    return {"allocated": fullest["bytes_in_use"], "peak": fullest["peak_bytes_in_use"]}


def bandwidth(device: jax.Device) -> float:
    """See :meth:`archlab.backends.Backend.bandwidth`."""
    array = jax.device_put(jnp.zeros(STREAMED // 4, jnp.float32), device)
    add, seconds = jax.jit(lambda a: a + 1, donate_argnums=0), []
    for _ in range(STREAMS + 1):  # the first one compiles, and is not the fastest
        begin = time.perf_counter()
        array = add(array).block_until_ready()
        seconds.append(time.perf_counter() - begin)
    return 2 * STREAMED / min(seconds)
