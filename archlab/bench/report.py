"""Measurements as sheets, for terminals and in Markdown, and as JSON."""

import datetime
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import archlab
from archlab import hardware
from archlab.bench import decoding
from archlab.bench.categories import category, shares
from archlab.bench.figures import Measured
from archlab.bench.rounds import Summary, ratio
from archlab.cli.describe import short, size

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 10  # operations of a profile; the JSON has all


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table with a title and lines below it; the first column is text, the others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = ()


def sheets(found: Sequence[Measured]) -> list[Sheet]:
    """All that is shown."""
    profiles = [_profile(m) for m in found if m.spent]
    decoded = [_decoding(found)] if any(m.decoded for m in found) else []
    return [_subjects(found), _training(found), _first_steps(found), _memory(found), *profiles, *decoded]


def _subjects(found: Sequence[Measured]) -> Sheet:
    rows = []
    for m in found:
        policy, data = m.run.policy, m.run.data
        parameters = m.estimated["parameters"] // _width(policy.param)
        kinds = f"{policy.param}, {policy.compute}, {policy.matmul}"
        optimizer = type(m.run.train.optimizer).__name__
        rows.append((m.name, f"{parameters:,}", f"{data.batch} × {m.length:,}", kinds, optimizer, m.device))
    columns = ("", "parameters", "batch", "param, compute, matmul", "optimiser", "device")
    return Sheet(title="What is timed", columns=columns, rows=rows)


def _width(dtype: str) -> int:
    from archlab.weights import DTYPES

    return DTYPES[dtype].itemsize


def _training(found: Sequence[Measured]) -> Sheet:
    first, *others = found
    columns = ["", "ms a step", "tokens/s", f"FLOP/s, {first.convention}", "MFU"]
    rows = []
    for m in found:
        mfu = "–" if m.mfu is None else f"{m.mfu:.1%}"
        flops = "–" if m.flops is None else short(m.flops)
        row = [m.name, _ms(m.seconds), f"{m.tokens_per_second:,.0f}", flops, mfu]
        rows.append((*row, *([_times(ratio(m.rounds, first.rounds))] if others else [])))
    if others:
        columns.append(f"speed, times {first.name}")
    counts = " and ".join(dict.fromkeys(f"{m.steps}" for m in found))
    notes = [f"medians (quartiles) of {len(first.rounds)} rounds of {counts} steps"]
    notes += dict.fromkeys(filter(None, map(_without_mfu, found)))
    return Sheet(title="A training step", columns=tuple(columns), rows=rows, notes=tuple(notes))


def _without_mfu(m: Measured) -> str | None:
    if m.flops is None:
        return f"no FLOP/s of {m.name}: they are counted for a source as long as the sequence, and this one's is not"
    if m.peak is None:
        return f"no MFU: no peak is known of {m.device!r} in this precision; give it as --peak-tflops"
    return None


def _first_steps(found: Sequence[Measured]) -> Sheet:
    columns = ("", "trainer, s", "first step, s", "later step, s", "compiled in, s", "cache of programs")
    rows = []
    for m in found:
        b = m.begun
        numbers = (b.build, b.first, m.seconds.median, m.compile_seconds)
        rows.append((m.name, *(f"{n:.3g}" for n in numbers), _cache(m)))
    return Sheet(title="The first step", columns=columns, rows=rows)


def _cache(m: Measured) -> str:
    cache = m.begun.cache
    if cache is None:
        return "none"
    return f"{cache.before:,} files before, {cache.after - cache.before:,} new"


def _memory(found: Sequence[Measured]) -> Sheet:
    names = list(found[0].estimated)
    taken = list(dict.fromkeys(name for m in found for name in m.memory))
    rows = []
    for m in found:
        seen = [size(m.memory[name]) if name in m.memory else "–" for name in taken]
        rows.append((m.name, *(size(m.estimated[name]) for name in names), *seen))
    columns = ("", *names, *(name.replace("_", " ") for name in taken))
    notes = ("to the left of process peak estimates of one step, from it on measured since the process began",)
    return Sheet(title="Memory", columns=columns, rows=rows, notes=notes)


def _profile(m: Measured) -> Sheet:
    total, steps = sum(s.ms for s in m.spent), m.profiled

    def row(name: str, kind: str, calls: int, ms: float) -> tuple[str, ...]:
        return name, kind, f"{calls / steps:,.0f}", f"{ms / steps:.2f}", f"{ms / total:.1%}" if total else "–"

    rows = [row(_cut(s.name), category(s.name), s.calls, s.ms) for s in m.spent[:SHOWN]]
    if rest := m.spent[SHOWN:]:
        rows.append(row(f"{len(rest)} others", "", sum(s.calls for s in rest), sum(s.ms for s in rest)))
    kinds = ", ".join(f"{kind} {share:.0%}" for kind, share in shares(m.spent).items() if share >= 0.005)
    columns = ("operation", "kind", "calls a step", "own ms a step", "share")
    return Sheet(title=f"Where the time goes: {m.name}", columns=columns, rows=rows, notes=(f"by kind: {kinds}",))


def _cut(name: str) -> str:
    return name if len(name) <= 56 else f"{name[:55]}…"


def _decoding(found: Sequence[Measured]) -> Sheet:
    columns = ("", "batch", "prompt, tokens/s", "ms a token", "written, tokens/s", "limit, tokens/s", "share")
    rows = []
    for m in found:
        for batch, rounds in m.decoded.items():
            written, limit = m.written(batch), m.bound(batch)
            assert limit is not None
            each = sorted(d.token for d in rounds)[len(rounds) // 2]
            share = f"{written.median / limit:.0%}"
            numbers = (f"{m.read(batch).median:,.0f}", f"{1e3 * each:.2f}", f"{written.median:,.0f}", f"{limit:,.0f}")
            rows.append((m.name, str(batch), *numbers, share))
    spans = ", ".join(dict.fromkeys("{} + {}".format(*decoding.spans(m.run)) for m in found))
    speeds = ", ".join(dict.fromkeys(f"{m.name} {(m.bandwidth or 0) / 1e9:,.0f} GB/s" for m in found))
    notes = (f"tokens of a prompt + written after it: {spans}", f"memory bandwidth as measured: {speeds}")
    return Sheet(title="Decoding, greedy", columns=columns, rows=rows, notes=notes)


def _ms(seconds: Summary) -> str:
    return f"{1e3 * seconds.median:.2f} ({1e3 * seconds.low:.2f} – {1e3 * seconds.high:.2f})"


def _times(factor: Summary) -> str:
    return f"{factor.median:.2f} ({factor.low:.2f} – {factor.high:.2f})"


# --- forms --------------------------------------------------------------------------------------------


def rich_table(sheet: Sheet) -> "Table":
    """A sheet for the terminal."""
    from rich import box
    from rich.table import Table

    table = Table(title=sheet.title, box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title_justify="left")
    for number, name in enumerate(sheet.columns):
        table.add_column(name, justify="right" if number else "left")
    for row in sheet.rows:
        table.add_row(*row)
    table.caption, table.caption_justify = "\n".join(sheet.notes), "left"
    return table


def markdown(found: Sequence[Measured], facts: dict[str, str], command: str) -> str:
    """All sheets as a page, with what is needed to measure again."""
    lines = [f"# {', '.join(m.name for m in found)}", "", f"Measured by `{command}` on {facts['date']}.", ""]
    for sheet in sheets(found):
        lines += [f"## {sheet.title}", "", "| " + " | ".join(sheet.columns) + " |", "|" + " --- |" * len(sheet.columns)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in sheet.rows]
        lines += ["", *(f"{note}  " for note in sheet.notes), ""]
    lines += ["## Environment", "", "| what | value |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in facts.items()), ""])


def environment(found: Sequence[Measured], load: float) -> dict[str, str]:
    """Hardware, versions, commit; ``load`` is the machine's load average before."""
    packages = {name: value for m in found for name, value in m.begun.environment.items() if name != "device"}
    return {
        "date": datetime.date.today().isoformat(),
        "processor": hardware.processor(),
        "device": ", ".join(dict.fromkeys(m.device for m in found)),
        "load average before": f"{load:.2f}",
        "python": platform.python_version(),
        **hardware.versions(("numpy",)),
        **packages,
        "archlab": hardware.commit(Path(archlab.__file__).parent),
    }


def as_data(found: Sequence[Measured], facts: dict[str, str]) -> dict[str, Any]:
    """What ``--json`` writes."""
    return {"environment": facts, "measured": [_data(m, found[0]) for m in found]}


def _data(m: Measured, first: Measured) -> dict[str, Any]:
    faster = None if m is first else asdict(ratio(m.rounds, first.rounds))
    return {
        "name": m.name, "config": m.run.to_dict(), "backend": m.subject.backend, "device": m.device,
        "batch": m.run.data.batch, "length": m.length, "steps_a_round": m.steps, "seconds_a_step": m.rounds,
        "median": asdict(m.seconds), "tokens_per_second": m.tokens_per_second,
        "flops_per_token": m.flops_per_token, "convention": m.convention, "flops_per_second": m.flops,
        "peak_flops_per_second": m.peak, "mfu": m.mfu, "speed_times_the_first": faster,
        "begun": asdict(m.begun), "compile_seconds": m.compile_seconds,
        "memory": {"estimated": m.estimated, "measured": m.memory},
        "profile": {"steps": m.profiled, "kinds": shares(m.spent), "operations": [asdict(s) for s in m.spent]},
        "decoding": [_decoded(m, batch) for batch in m.decoded],
    }  # fmt: skip


def _decoded(m: Measured, batch: int) -> dict[str, Any]:
    prompt, new = decoding.spans(m.run)
    return {
        "batch": batch, "prompt": prompt, "new": new, "rounds": [asdict(d) for d in m.decoded[batch]],
        "prompt_tokens_per_second": asdict(m.read(batch)), "tokens_per_second": asdict(m.written(batch)),
        "bandwidth": m.bandwidth, "least_bytes": decoding.least_bytes(m.run, batch), "limit": m.bound(batch),
    }  # fmt: skip
