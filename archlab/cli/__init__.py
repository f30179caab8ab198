"""The command line: ``archlab COMMAND …``, one module of this package a command.

A command's module holds ``command``, a Typer function or a group of them (``typer.Typer``), and ``EXAMPLES``, lines
that its ``--help`` shows.
Only the module of the command that was called is imported; heavy imports belong inside its functions.
Bad input raises :class:`~archlab.errors.InputError`, a check that did not hold :class:`CheckFailed`.

Exit status: 0 done, 1 a check failed, 2 the input was wrong, 75 a run was stopped by a signal and is saved, 130
interrupted.
"""

import importlib
import sys
from collections.abc import Sequence

import typer

from archlab.errors import InputError

COMMANDS = (
    "catalog", "describe", "tokenizer", "data", "train", "sweep", "runs", "eval", "generate", "serve", "import",
    "export", "extend", "lr-find", "mup-check", "parity", "diff", "bench",
)  # fmt: skip

# The parent of all complaints about arguments. Typer exports only its child by name.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


class CheckFailed(Exception):  # noqa: N818 - a verdict, not an error
    """What was checked does not hold; the message says where, in one sentence."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; by default with the arguments of this process."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        status = application(arguments)(arguments, prog_name="archlab", standalone_mode=False)
    except KeyboardInterrupt:
        return 130
    except CheckFailed as error:
        return complain("check failed", str(error), status=1)
    except InputError as error:
        return complain("error", str(error), status=2)
    except _UsageError as error:
        return complain("error", _with_hint(error), status=2)
    return status if isinstance(status, int) else 0


def application(arguments: Sequence[str]) -> typer.Typer:
    """The Typer application with the command that ``arguments`` call, or else with all of them."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    app.callback(no_args_is_help=True, epilog=epilog(["archlab describe configs/tiny_llama.yaml"]))(_describe_archlab)
    called = [name for name in arguments[:1] if name in COMMANDS]
    for name in called or COMMANDS:
        module = importlib.import_module(f"archlab.cli.{name.replace('-', '_')}")
        if isinstance(module.command, typer.Typer):
            app.add_typer(module.command, name=name, epilog=epilog(module.EXAMPLES))
        else:
            app.command(name, epilog=epilog(module.EXAMPLES))(module.command)
    return app


def _describe_archlab() -> None:
    """Describe a language-model architecture once, run it in JAX and in PyTorch, and prove they agree."""


def epilog(examples: Sequence[str]) -> str:
    """What stands under the help of a command."""
    from rich.markup import escape

    return "\n\n".join(["Examples:" if len(examples) > 1 else "Example:"] + [f"  {escape(line)}" for line in examples])


def _with_hint(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "archlab"
    message = error.format_message().rstrip(".?").replace(". Did you mean", "; did you mean")  # type: ignore[attr-defined]
    return f"{message} (see {path} --help)"


def complain(kind: str, message: str, status: int) -> int:
    """Print one line about what went wrong on stderr and return ``status``."""
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble("archlab: ", (f"{kind}: ", "bold red"), " ".join(message.split()))
    Console(stderr=True, soft_wrap=True, highlight=False).print(line)
    return status
