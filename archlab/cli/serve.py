"""``archlab serve``: a trained model behind an HTTP address."""

from pathlib import Path
from typing import Annotated

import typer

from archlab.cli.generate import Weights

EXAMPLES = (
    "archlab serve runs/first",
    "archlab serve downloads/gpt2 --backend jax --rows 16 --length 1024 --port 9000",
    'curl localhost:8000/v1/completions -d \'{"prompt": "def ", "max_tokens": 40, "temperature": 0}\'',
)
LENGTH = 1024
"""Places of a sequence for models that have no limit."""


def command(
    run: Annotated[
        Path, typer.Argument(help="A run directory, a model folder or a Hugging Face folder.", show_default=False)
    ],
    backend: Annotated[str | None, typer.Option(help="jax or torch.", show_default="the run's own")] = None,
    checkpoint: Annotated[str, typer.Option(help="Of a run: last, best, or a step.")] = "last",
    rows: Annotated[int, typer.Option(help="Requests that are answered at a time; others wait.", min=1)] = 8,
    length: Annotated[
        int | None,
        typer.Option(help="Tokens of a prompt and its text.", min=2, show_default=f"the model's limit, or {LENGTH}"),
    ] = None,
    weights: Annotated[Weights, typer.Option(help="How the matrices are held.")] = Weights.float,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines ask, too.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free.", min=0, max=65535)] = 8000,
) -> None:
    """Answer POST /v1/completions with a model's text, many requests at a time, until Ctrl+C."""
    from archlab.backends import find_backend
    from archlab.errors import InputError
    from archlab.generation import for_generation
    from archlab.model import check_causal
    from archlab.models.encoder_decoder import EncoderDecoder
    from archlab.saved import open_saved
    from archlab.serving.batching import Batcher
    from archlab.serving.server import Server

    opened = open_saved(run, checkpoint)
    chosen, tokenizer = find_backend(opened.backend_name(backend)), opened.read_tokenizer()
    model, arrays = for_generation(opened.model, opened.weights())
    check_causal(model)
    if isinstance(model, EncoderDecoder):
        raise InputError(f"{run} is an encoder-decoder, which needs a source; use archlab generate --source")
    limit = model.limit()
    if length is not None and limit is not None and length > limit:
        raise InputError(f"--length is {length}, but the model knows only {limit} positions; give at most {limit}")
    length = length or limit or LENGTH
    policy = opened.policy.replace(weights=weights.value)
    decoder = chosen.decoder(model, arrays, batch=rows, length=length, policy=policy)
    batcher = Batcher(decoder, vocab=tokenizer.vocab_size, stop=opened.stop)
    server = Server((host, port), name=run.resolve().name, model=model, tokenizer=tokenizer, batcher=batcher)
    typer.echo(
        f"{server.name} at {server.url}/v1/completions ({chosen.name}, {rows} × {length} tokens); Ctrl+C ends it"
    )
    try:
        server.run()
    except KeyboardInterrupt:
        typer.echo("stopped")
