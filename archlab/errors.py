"""The one exception a user's mistake raises."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: a config, file, shape, token id, checkpoint or device that cannot be used.

    The message is one sentence that says what is wrong, where, what is allowed and
    what to do. The command line prints it and exits with status 2.
    """


def nearest(name: str, allowed: Iterable[str]) -> str:
    """A hint for a misspelt ``name``: the closest allowed one, or all of them."""
    allowed = sorted(str(a) for a in allowed)
    close = difflib.get_close_matches(str(name), allowed, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"allowed: {', '.join(allowed) if allowed else 'none'}"
