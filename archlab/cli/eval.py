"""``archlab eval``: the loss of a trained run on the whole held-out text."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = ("archlab eval runs/first", "archlab eval runs/first --backend jax --checkpoint best --json")


def command(
    run: Annotated[Path, typer.Argument(help="A run directory.", show_default=False)],
    backend: Annotated[str | None, typer.Option(help="jax or torch.", show_default="the run's own")] = None,
    checkpoint: Annotated[str, typer.Option(help="last, best, or a step.")] = "last",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")] = False,
) -> None:
    """Measure the loss on all of the held-out text."""
    import json
    import math

    from archlab.backends import find_backend
    from archlab.data.corpus import prepare_batches
    from archlab.training import loop
    from archlab.training.runs import open_run
    from archlab.training.session import mean_loss

    opened = open_run(run)
    chosen = find_backend(backend or opened.backend_name())
    step, weights = opened.weights(checkpoint)
    config = opened.config
    data = prepare_batches(config.data, config.train.seed, opened.tokenizer())
    loop.check_fits(config, data)
    trainer = loop.make_trainer(config, chosen, weights)
    loss, tokens = mean_loss(trainer, data.validation_pass())
    result = {"run_dir": str(run), "backend": chosen.name, "step": step, "val_loss": loss, "tokens": tokens}
    if as_json:
        typer.echo(json.dumps(result))
    else:
        typer.echo(
            f"{chosen.name}, step {step}: held-out loss {loss:.4f} nats a token "
            f"(perplexity {math.exp(loss):.2f}) over {tokens:,} tokens"
        )
