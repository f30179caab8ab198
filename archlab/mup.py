"""Maximal-update parametrisation: learning rates that stay the best ones when a model gets wider.

Yang et al. 2022, https://arxiv.org/abs/2203.03466. A model is compared with the same spec at a base width: an output of
a parameter sums over r_in times as many inputs as there, and it has r_out times as many outputs.

| parameter | grows | first values | Adam, AdamW, Lion, SOAP | SGD |
|---|---|---|---|---|
| hidden: matrices of a layer | inputs and outputs | base's std · r_in^(−1/2) | 1 / r_in | r_out / r_in |
| output: heads, routers | inputs | base's std / r_in | 1 / r_in | 1 / r_in |
| input, vector: tables, biases, norms | outputs | the base's | 1 | r_out |

That is the paper's table 3. Muon's steps have a norm of their own: its rate is multiplied with √(r_out / r_in) over
what its √max(1, out / in) has grown by. Weight decay is divided by the factor of the rate, so that a step shrinks
a parameter as much as at the base width. At the base width all of it is the standard parametrisation.

Logits of a tied head are divided by r, as in the paper's table 8, by dividing the scale and bias of the norm before it.
Scores of attention are divided by the size of heads: heads keep the base's size, or are given a ``scale``.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from archlab import weights as canonical
from archlab.config import Config
from archlab.errors import InputError
from archlab.heads.masked_token import MaskedTokenHead
from archlab.mixers.multi_head import MultiHead
from archlab.model import LanguageModel, Model, TokenModel
from archlab.norms import GroupNorm, LayerNorm, RMSNorm
from archlab.optim.adamw import Adam
from archlab.optim.lion import Lion
from archlab.optim.muon import Muon
from archlab.optim.optimizer import Optimizer, Table, Treatment, Wrapper, find
from archlab.optim.sgd import SGD
from archlab.optim.soap import SOAP
from archlab.spec import Param, schema, walk
from archlab.weights import DTYPES, Weights

LOOKED_UP = "VPJ"  # the first axis of a table, of which an output reads one row
WIDTHS = ("width", "heads", "kv_heads", "key_heads", "hidden")  # fields that grow with the width


class MuP(Wrapper):
    """``optimizer`` with the learning rates of the maximal-update parametrisation (see :mod:`archlab.mup`).

    base
        The model at whose width the rates are tuned, or that width (see :func:`at_width`).

    A model that is trained with it begins at :func:`initial` (:func:`starting` knows when).
    Parameters with a rule of their own are left alone.
    """

    base: Model | int

    def treatments(self, table: Table) -> dict[str, Treatment]:
        found = self.optimizer.treatments(table)
        for path, growth in growths(_model(table), self.base, table).items():
            if table[path].rule is None:
                factor = growth.rate(found[path].rule, table[path])
                found[path] = found[path].times(rate=factor, decay=1.0 / factor)
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Growth:
    """What a parameter has more of than at the base: inputs, outputs, and room between a last norm and a tied head.

    fan_in, fan_out
        r_in and r_out.
    tied
        r where a parameter of the last norm takes the place of a tied head's factor 1/r, else 1.
    base
        The parameter at the base.
    """

    fan_in: float
    fan_out: float
    base: Param
    tied: float = 1.0

    @property
    def kind(self) -> str:
        """hidden, output, input (a table), vector, or fixed."""
        if self.fan_in != 1.0:
            return "output" if self.fan_out == 1.0 else "hidden"
        if self.fan_out == 1.0:
            return "fixed"
        return "input" if len(self.base.shape) > 1 else "vector"

    @property
    def scale(self) -> float:
        """What first values that are drawn as at the base are multiplied with."""
        exponent = {"hidden": 0.5, "output": 1.0}.get(self.kind, 0.0)
        return self.fan_in**-exponent / self.tied

    def rate(self, rule: Optimizer, param: Param) -> float:
        """What the learning rate of an update rule is multiplied with."""
        if isinstance(rule, Wrapper):
            return self.rate(rule.optimizer, param)
        if isinstance(rule, (Adam, Lion, SOAP)):
            return 1.0 / self.fan_in / self.tied
        if isinstance(rule, SGD):
            return self.fan_out / self.fan_in / self.tied**2
        if isinstance(rule, Muon):
            return math.sqrt(self.fan_out / self.fan_in) * rule.scale(self.base.shape) / rule.scale(param.shape)
        raise InputError(
            f"optimizer: it is not known how the rate of {type(rule).__name__} changes with the width; "
            "use Adam, AdamW, Lion, SOAP, SGD or Muon in MuP"
        )


def initial(model: Model, base: Model | int, seed: int, dtype: str = "float32") -> Weights:
    """First values of all parameters: drawn as at the base, and scaled."""
    table = schema(model.root())
    return {
        path: (growth.scale * table[path].init.draw(seed, path, table[path].shape, growth.base.fan_in)).astype(
            DTYPES[dtype]
        )
        for path, growth in growths(model, base, table).items()
    }


def starting(model: Model, optimizer: Optimizer, seed: int, dtype: str = "float32") -> Weights:
    """First values of all parameters as ``optimizer`` asks: those of muP where it has a :class:`MuP` in it."""
    found = find(optimizer, MuP)
    if found is None:
        return canonical.initial(model.root(), seed, dtype)
    return initial(model, found.base, seed, dtype)


def growths(model: Model, base: Model | int, table: Table) -> dict[str, Growth]:
    """How every parameter of ``model``, whose schema is ``table``, has grown from the base."""
    base = at_width(model, base) if isinstance(base, int) else base
    small = schema(base.root())
    _check_same(table, small)
    _check_heads(model, base)
    tied = _tied(model, base)
    return {path: _growth(param, small[path], tied.get(path, 1.0)) for path, param in table.items()}


def _growth(param: Param, base: Param, tied: float) -> Growth:
    looked_up = param.axes[:1] in LOOKED_UP and len(param.shape) > 1
    fan_in = 1.0 if looked_up else param.fan_in / base.fan_in
    return Growth(fan_in=fan_in, fan_out=param.size / base.size / fan_in, base=base, tied=tied)


def _model(table: Table) -> Model:
    """The model that a table is the schema of."""
    root = next((param.around[0][1] for param in table.values() if param.around), None)
    if not isinstance(root, Model):
        raise InputError("optimizer: MuP needs the parameters of a whole model")
    return root


# --- what cannot be compared ----------------------------------------------------------------------------


def _check_same(table: Table, base: Table) -> None:
    for path in table:
        if path not in base:
            raise InputError(f"base: {path} is no parameter of the base, which may differ in sizes only")
    for path, param in base.items():
        if path not in table:
            raise InputError(f"base: {path} is a parameter of the base alone, which may differ in sizes only")
        if len(param.shape) != len(table[path].shape):
            raise InputError(f"base: {path} has other axes in the base, which may differ in sizes only")


def _check_heads(model: Model, base: Model) -> None:
    """Raise unless scores of heads that have grown are divided by their size, as the parametrisation asks."""
    parts = dict(walk(base.root()))
    for path, part in walk(model.root()):
        if isinstance(part.spec, MultiHead) and isinstance(parts[path].spec, MultiHead):
            size, small = part.spec.size(part.width), parts[path].spec.size(parts[path].width)
            wanted = parts[path].spec.factor(small) * small / size
            if size != small and not math.isclose(part.spec.factor(size), wanted, rel_tol=1e-6):
                raise InputError(
                    f"{path}: heads of {size} where the base has {small} need scale={wanted:.8g}, "
                    f"which falls with the size and not its root; give that, or more heads of {small}"
                )


def _tied(model: Model, base: Model) -> dict[str, float]:
    """r for the parameters of the norm before a tied head: dividing them by r divides the logits."""
    for path, part in walk(model.root()):
        if (isinstance(part.spec, TokenModel) and part.spec.head is None) or (
            isinstance(part.spec, MaskedTokenHead) and part.spec.out is None
        ):
            norm = model.norm if type(model) is LanguageModel else None
            plain = isinstance(norm, RMSNorm) and not norm.unit_offset
            if not plain and not (isinstance(norm, LayerNorm) and norm.scale):
                where = path or type(model).__name__
                raise InputError(
                    f"{where}: a tied head needs a LanguageModel with a last norm that has a scale "
                    "(RMSNorm without unit_offset, LayerNorm) to divide its logits; give it a head of its own"
                )
            growth = model.table_width(model.width) / base.table_width(base.width)  # type: ignore[attr-defined]
            return {f"norm.{name}": growth for name in ("scale", "bias")}
    return {}


# --- other widths ---------------------------------------------------------------------------------------


def at_width(model: Model, width: int) -> Any:
    """The same model at another width: heads keep their size, and their number and all hidden widths follow.

    The fields in :data:`WIDTHS`, and the groups of a GroupNorm, are multiplied by the same factor. What is fixed in a
    spec by other fields (ranks, sizes of heads and states, experts) stays.
    """
    if width < 1:
        raise InputError(f"{width} is no width; it must be > 0")
    return _scaled(model, width, model.width, f"width {width}")


def _scaled(config: Any, width: int, old: int, where: str) -> Any:
    if isinstance(config, tuple):
        return tuple(_scaled(c, width, old, where) for c in config)
    if not isinstance(config, Config):
        return config
    values: Mapping[str, Any] = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}  # type: ignore[arg-type]
    grow = (*WIDTHS, "groups") if isinstance(config, GroupNorm) else WIDTHS
    new = {}
    for name, value in values.items():
        if name in grow and isinstance(value, int):
            if value * width % old:
                raise InputError(f"{where}: {name} = {value} of width {old} cannot be scaled to it; {_fit(old, value)}")
            new[name] = value * width // old
        else:
            new[name] = _scaled(value, width, old, where)
    return config.replace(**new)


def _fit(width: int, value: int) -> str:
    """The widths at which a field of ``value`` at ``width`` stays whole."""
    return f"choose a multiple of {width // math.gcd(width, value)}"
