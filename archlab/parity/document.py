"""docs/parity.json as people read it: the region of docs/parity.md, and the table in the README."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from archlab.errors import InputError
from archlab.parity import regions
from archlab.parity.mechanisms import ROOT

DATA, PAGE = "parity.json", "parity.md"
MECHANISMS, FAULTS = "mechanisms", "faults"
LOW = ("float32", "bfloat16")
FLOORS = ("floors", "gradient floors")


def check(folder: Path, readme: Path | None) -> None:
    """Before the work is done, not after: :class:`InputError` where :func:`write` has no place to write to."""
    if not folder.is_dir():
        raise InputError(f"--out {folder} is no folder; make it, or name another one")
    if (folder / PAGE).exists():
        regions.read(folder / PAGE, MECHANISMS)
    if readme is not None:
        regions.read(readme, MECHANISMS)


def read(folder: Path) -> dict[str, Any] | None:
    """What was measured before; None where nothing was."""
    file = folder / DATA
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    except ValueError as error:
        raise InputError(f"{file} cannot be read as JSON: {error}; remove it to measure everything") from None


def write(data: dict[str, Any], folder: Path, readme: Path | None) -> None:
    """``parity.json``, the region of ``parity.md``, which is made where there is none, and the README's table."""
    page = folder / PAGE
    (folder / DATA).write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if not page.exists():
        page.write_text(f"# Parity\n\n{regions.empty(MECHANISMS)}\n{regions.empty(FAULTS)}", encoding="utf-8")
    regions.rewrite(page, MECHANISMS, page_text(data, up_from(folder)))
    if readme is not None:
        regions.rewrite(readme, MECHANISMS, readme_text(data, up_from(readme.parent)))


def up_from(folder: Path) -> str:
    """What a link in a file of ``folder`` starts with to lead to the project's root."""
    way = Path(os.path.relpath(ROOT, folder)).as_posix()
    return "" if way == "." else f"{way}/"


def page_text(data: dict[str, Any], up: str) -> str:
    """All that was measured: how, what, what is not claimed, and on what. Links start with ``up``."""
    return "\n".join([_introduction(data), _full_table(data, up), _waivers(data), _environment(data)])


def readme_text(data: dict[str, Any], up: str) -> str:
    """Where each mechanism is, and its worst errors in float64. Links start with ``up``."""
    columns = ("forward", "gradient")
    rows = [
        [f"`{name}`", *_links(m, data["backends"], up), *(_worst(m, q) for q in columns)]
        for name, m in data["mechanisms"].items()
    ]
    return _table(["mechanism", "definition", *data["backends"], *columns], rows)


def _introduction(data: dict[str, Any]) -> str:
    limits = data["limits"]
    forward, gradient, slope = (f"{limits[name]:.0e}" for name in ("forward", "gradient", "slope"))
    floors, gradient_floors = (" and ".join(f"{limits[name][d]:g}" for d in LOW) for name in FLOORS)
    count, examples = len(data["mechanisms"]), sum(m["examples"] for m in data["mechanisms"].values())
    backends = " and ".join(data["backends"])
    return f"""\
## Mechanisms

{count} mechanisms in {examples} examples, on {backends}: the error that uses up most of its limit, over all examples
of a mechanism, variants of the input and backends. `archlab parity --all` measures it by the laws of the battery;
[{DATA}]({DATA}) holds it by backend, with the limits.

- **forward**: the output and every intermediate against the reference, in float64; limit {forward}
- **gradient**: of every parameter and of the input, between backends in float64; limit {gradient}
- **slope**: the gradients along a random direction against a difference quotient of the reference; limit {slope}
- **{LOW[0]}**, **{LOW[1]}**: outputs and gradients against the truth, in brackets the share of the limit. That is
  a multiple of the noise floor, which is measured for each example: {floors} floors for outputs in the two dtypes,
  {gradient_floors} for gradients
- **decode**: pieces and then single tokens, the state carried on, against one pass; limit {forward}
- **sharded**: the output on a mesh of devices against the reference (limit {forward}), gradients ({gradient}) and
  first weights (to the bit) against those of one device
- **trained**: of models, the update from parts of a batch, logits in chunks, layers computed again, and packed
  documents against the plain one (limits as for forward and gradient), and with activations alone in bfloat16

"definition" means that the backend runs the spec's own `forward`.
"""


def _full_table(data: dict[str, Any], up: str) -> str:
    rows = [
        [f"`{name}`", *_links(m, data["backends"], up), *(_worst(m, q) for q in data["quantities"]), _verdict(m)]
        for name, m in data["mechanisms"].items()
    ]
    return _table(["mechanism", "definition", *data["backends"], *data["quantities"], "verdict"], rows)


def _waivers(data: dict[str, Any]) -> str:
    waived = [(name, w) for name, m in data["mechanisms"].items() for w in m["waived"]]
    lines = [f"- `{w['example']}`, {w['law']}: {w['reason']}" for _, w in waived]
    return "\n".join(["## Waived", "", "Laws that an example does not claim:", "", *(lines or ["none"]), ""])


def _environment(data: dict[str, Any]) -> str:
    found = data["environment"]
    packages = dict(found["packages"])
    devices = []
    for name, versions in found["backends"].items():
        packages |= {package: version for package, version in versions.items() if package != "device"}
        devices.append(f"{name} on {versions['device']}")
    listed = ", ".join(f"{package} {version}" for package, version in sorted(packages.items()) if version)
    return f"""\
## Measured on

{found["started"]}, commit `{found["git_commit"]}`, {found["platform"]}, {found["cpu_count"]} cores,
Python {found["python"]}; {", ".join(devices)}; {listed}.

That was the last measurement; mechanisms whose code and examples had not changed since an earlier one may have kept its
figures (`archlab parity --all --outdated`).
"""


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines).replace("| --- ", "|---").replace("--- |", "---|")


def _links(mechanism: dict[str, Any], backends: Iterable[str], up: str) -> list[str]:
    """Markdown links to the definition and to each backend's native form, where it has one."""
    natives = [mechanism["natives"][name] for name in backends]
    definition = mechanism["definition"]
    return [f"[{definition}]({up}{definition})"] + [f"[native]({up}{n})" if n else "definition" for n in natives]


def _worst(mechanism: dict[str, Any], quantity: str) -> str:
    """The cell of the backend that uses up most of its limit; where there is none, every example waives the law."""
    cells = [table[quantity] for table in mechanism["measured"].values() if quantity in table]
    if not cells:
        return "waived" if any(w["law"] == quantity for w in mechanism["waived"]) else ""
    cell = max(cells, key=lambda c: (float("inf"), 0.0) if c["share"] is None else (c["share"], c["error"]))
    error = "∞" if cell["error"] is None else f"{cell['error']:.0e}" if cell["error"] else "0"
    share = "∞" if cell["share"] is None else f"{cell['share']:.2g}"
    return f"{error} ({share})" if quantity in LOW else error


def _verdict(mechanism: dict[str, Any]) -> str:
    failed = {q: None for table in mechanism["measured"].values() for q, cell in table.items() if not cell["pass"]}
    waived = {w["law"]: None for w in mechanism["waived"]}
    words = [f"**failed**: {', '.join(failed)}" if failed else "passed"]
    return "; ".join(words + ([f"waived in part: {', '.join(waived)}"] if waived else []))
