"""The model card."""

from collections.abc import Mapping, Sequence
from typing import Any

from archlab import yaml_text
from archlab.hf.modeling.kinds import CAUSAL, SEQ2SEQ, Kind
from archlab.model import Model

USE = {
    CAUSAL: """
tokens = tokenizer(["Once upon a time"], return_tensors="pt")
print(tokenizer.batch_decode(model.generate(**tokens, max_new_tokens=50)))
""",
    SEQ2SEQ: """
tokens = tokenizer(["a text to read"], return_tensors="pt")
print(tokenizer.batch_decode(model.generate(**tokens, max_new_tokens=50)))
""",
}


def card(
    model: Model,
    kind: Kind,
    described: Mapping[str, Any],
    config: Mapping[str, Any],
    facts: Mapping[str, Any],
    *,
    parameters: int,
    reads_text: bool,
) -> str:
    """README.md: how to load the model, what it is, and what is known of it. ``reads_text``: with its tokenizer."""
    name = str(facts.get("name") or type(model).__name__)
    front = {"library_name": "transformers", "pipeline_tag": kind.task, "tags": ["archlab", "custom_code"]}
    parts = [
        f"---\n{yaml_text.write({key: value for key, value in front.items() if value is not None})}---",
        f"# {name}",
        f"A `{type(model).__name__}` with {parameters:,} parameters, {config['dtype']}, written by archlab "
        f"{config['archlab_version']}.",
        "## Loading",
        _loading(kind, reads_text),
        "The architecture is none that transformers knows: `modeling_archlab.py` has its definitions, and "
        "`trust_remote_code=True` runs that file. Read it first. It needs PyTorch, NumPy and transformers.",
        _left_out(model, kind),
    ]
    for title, value in facts.items():
        if title != "name" and value is not None:
            parts += [f"## {title[:1].upper()}{title[1:]}", shown(value)]
    parts += ["## Architecture", f"```yaml\n{yaml_text.write(dict(described))}```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _loading(kind: Kind, reads_text: bool) -> str:
    loaded = f"from transformers import {kind.auto}"
    lines = [f'model = {kind.auto}.from_pretrained("path/to/this", trust_remote_code=True)']
    if reads_text:
        loaded += ", AutoTokenizer"
        lines.append('tokenizer = AutoTokenizer.from_pretrained("path/to/this", trust_remote_code=True)')
    use = USE.get(kind, "").rstrip().splitlines() if reads_text else []
    return "\n".join(["```python", loaded, "", *lines, *use, "```"])


def _left_out(model: Model, kind: Kind) -> str:
    """What the file has not of what archlab does."""
    notes = [
        "Dropout and auxiliary losses are in force in training. Parameters that move by a rule of their own, not by "
        "gradients (biases that balance experts), stay as they are."
    ]
    if model.for_generation() is not model:
        notes.append("Of its several answers this is the main one; the parts that give the others are left out.")
    if kind in (CAUSAL, SEQ2SEQ):
        notes.append(
            "Batches for `generate` are padded on the left; the cache is the architecture's own decoding state, which "
            "cannot go back, so there is no assisted generation."
        )
    return " ".join(notes)


def shown(value: Any) -> str:
    """A fact as Markdown: a mapping as a table of two columns, a list of mappings as one with their keys."""
    if isinstance(value, Mapping):
        return _table(["", ""], [[str(key), _cell(item)] for key, item in value.items()])
    if isinstance(value, Sequence) and not isinstance(value, str):
        if value and all(isinstance(item, Mapping) for item in value):
            keys = list(dict.fromkeys(key for item in value for key in item))
            return _table(keys, [[_cell(item.get(key, "")) for key in keys] for item in value])
        return "\n".join(f"- {_cell(item)}" for item in value)
    return str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|").replace("\n", " ")
