"""``archlab generate``: text from a trained run."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "archlab generate runs/first --prompt 'def '",
    "archlab generate runs/first --prompt 'def ' --prompt 'import ' --temperature 0 --backend jax --json",
    "archlab generate runs/large --prompt 'def ' --weights int8",
    "archlab generate runs/large --prompt 'def ' --draft runs/small --lookahead 6",
    "archlab generate downloads/gpt2 --prompt 'The sea' --backend jax",
)


class Weights(StrEnum):
    """``policy.weights``."""

    float = "float"
    int8 = "int8"
    int4 = "int4"


def command(
    run: Annotated[
        Path, typer.Argument(help="A run directory, a model folder or a Hugging Face folder.", show_default=False)
    ],
    prompt: Annotated[
        list[str] | None, typer.Option(help="What to continue; may be repeated.", show_default=False)
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="What an encoder-decoder reads, one for each prompt or without any.", show_default=False),
    ] = None,
    backend: Annotated[str | None, typer.Option(help="jax or torch.", show_default="the run's own")] = None,
    checkpoint: Annotated[str, typer.Option(help="Of a run: last, best, or a step.")] = "last",
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Tokens to write.", show_default="200, or as many as the model has positions for")
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the most probable token.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="Only the k most probable tokens.", show_default="all")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Only the tokens that reach this probability together.", show_default="all")
    ] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds draw equally, on every backend.")] = 0,
    weights: Annotated[
        Weights, typer.Option(help="How the matrices are held; in integers they take a quarter of float32, or a sixth.")
    ] = Weights.float,
    draft: Annotated[
        Path | None,
        typer.Option(help="A smaller model of the same tokenizer that proposes tokens.", show_default=False),
    ] = None,
    lookahead: Annotated[int, typer.Option(help="Tokens that the draft proposes at a time.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each prompt.")] = False,
) -> None:
    """Continue prompts with a trained model, or with a published one."""
    import json

    from archlab.backends import find_backend
    from archlab.errors import InputError
    from archlab.generation import Draft, generate
    from archlab.sampling import Sampling
    from archlab.saved import open_saved

    if not prompt and not source:
        raise InputError("there is nothing to continue; give a --prompt, or a --source to an encoder-decoder")
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    opened = open_saved(run, checkpoint)
    chosen = find_backend(opened.backend_name(backend))
    small = None if draft is None else open_saved(draft, "last")
    prompts = prompt or [""] * len(source or [])
    stream = len(prompts) == 1 and not as_json
    unsaid = list(prompts)  # what still stands before the first piece of text

    def show(index: int, piece: str) -> None:
        if stream:
            typer.echo((unsaid.pop() if unsaid else "") + piece, nl=False)

    results = generate(
        chosen,
        opened.model,
        opened.weights(),
        opened.read_tokenizer(),
        prompts,
        sources=source,
        max_new_tokens=max_new_tokens,
        stop=opened.stop,
        sampling=sampling,
        policy=opened.policy.replace(weights=weights.value),
        draft=None if small is None else Draft(model=small.model, weights=small.weights(), lookahead=lookahead),
        on_text=show,
    )
    if stream:
        typer.echo("".join(unsaid))
        return
    for result in results:
        record = {"prompt": result.prompt, "text": result.text, "backend": chosen.name, "step": opened.step}
        typer.echo(json.dumps(record, ensure_ascii=False) if as_json else f"{result.prompt}{result.text}\n")
