"""``archlab generate``: text from a trained run."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "archlab generate runs/first --prompt 'def '",
    "archlab generate runs/first --prompt 'def ' --prompt 'import ' --temperature 0 --backend jax --json",
)


def command(
    run: Annotated[Path, typer.Argument(help="A run directory.", show_default=False)],
    prompt: Annotated[list[str], typer.Option(help="What to continue; may be repeated.", show_default=False)],
    backend: Annotated[str | None, typer.Option(help="jax or torch.", show_default="the run's own")] = None,
    checkpoint: Annotated[str, typer.Option(help="last, best, or a step.")] = "last",
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Tokens to write.", show_default="200, or as many as the model has positions for")
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the most probable token.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="Only the k most probable tokens.", show_default="all")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Only the tokens that reach this probability together.", show_default="all")
    ] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds draw equally, on every backend.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each prompt.")] = False,
) -> None:
    """Continue prompts with a trained model."""
    import json

    from archlab.backends import find_backend
    from archlab.generation import generate
    from archlab.sampling import Sampling
    from archlab.training.runs import open_run

    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    opened = open_run(run)
    chosen = find_backend(backend or opened.backend_name())
    step, weights = opened.weights(checkpoint)
    stream = len(prompt) == 1 and not as_json
    unsaid = list(prompt)  # what still stands before the first piece of text

    def show(index: int, piece: str) -> None:
        if stream:
            typer.echo((unsaid.pop() if unsaid else "") + piece, nl=False)

    results = generate(
        chosen,
        opened.config.model,
        weights,
        opened.tokenizer(),
        prompt,
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        policy=opened.config.policy,
        on_text=show,
    )
    if stream:
        typer.echo("".join(unsaid))
        return
    for result in results:
        record = {"prompt": result.prompt, "text": result.text, "backend": chosen.name, "step": step}
        typer.echo(json.dumps(record, ensure_ascii=False) if as_json else f"{result.prompt}{result.text}\n")
