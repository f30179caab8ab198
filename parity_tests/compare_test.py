"""A function of the user's own against a spec: equal ones pass, and of wrong ones it is said what is wrong."""

import re
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import torch

import archlab_torch.norms as torch_norms
import archlab_torch.rotary as torch_rotary
from archlab.activations import GELUTanh, SiLU
from archlab.backends import find_backend
from archlab.errors import InputError
from archlab.importing import load_file
from archlab.norms import LayerNorm, RMSNorm
from archlab.parity import compare
from archlab.parity.cases import drawn_weights
from archlab.parity.comparison import kl_per_token
from archlab.policy import Policy
from archlab.residuals import PostNorm
from archlab.rotary import LinearScaling, RoPE

GUIDE = (Path(__file__).parents[1] / "docs" / "diagnosis.md").read_text(encoding="utf-8")
TOKENS = np.random.default_rng(0).integers(0, 19, (2, 24))
EXACT = Policy.exact()
models = load_file(Path(__file__).with_name("small_models.py"))
llama, gpt = models.llama, models.gpt


def weights_of(spec):
    return drawn_weights(spec.root(), 3)


def port(spec, weights):
    """An implementation of a spec, by PyTorch."""
    held = {path: weights[path] for path in weights_of(spec)}
    return lambda tokens: find_backend("torch").run(spec, held, {"tokens": tokens}, policy=EXACT).output


def layers(spec, **fields):
    """The spec with other fields of its attention."""
    block = spec.stack.pattern[0]
    block = block.replace(mixer=block.mixer.replace(**fields))
    return spec.replace(stack=spec.stack.replace(pattern=(block,)))


WRONG_SPECS = {
    "GELUTanh in place of GELUErf": (gpt(), gpt(activation=GELUTanh())),
    "SiLU in place of GELUErf": (gpt(), gpt(activation=SiLU())),
    "a norm's epsilon is 1e-06 in place of 1e-05": (llama(), llama(norm=RMSNorm(epsilon=1e-6))),
    "RMSNorm in place of LayerNorm": (gpt(), gpt(norm=RMSNorm(epsilon=1e-5))),
    "1 + the stored scale": (llama(), llama(norm=RMSNorm(epsilon=1e-5, unit_offset=True))),
    "the norm stands after the sum": (llama(), llama(layer=PostNorm)),
    "the last norm is missing": (llama(), llama().replace(norm=None)),
    "the norm of queries and keys is missing": (llama(qk_norm=RMSNorm(epsilon=1e-5)), llama()),
    "the scale of attention scores is missing": (llama(), llama(scale=1.0)),
    "the scale of attention scores is 1/√D": (llama(head_size=8), llama(head_size=8, scale=0.25)),
    "the softcap of attention scores is missing": (gpt(), layers(gpt(), softcap=None)),
    "the causal mask is missing": (llama(window=None), llama(window=None, visibility="bidirectional")),
    "the window of attention is 10 in place of 9": (llama(), llama(window=10)),
    "the window of attention is missing": (llama(), llama(window=None)),
    "positions pair entries 'interleaved'": (llama(), llama(rotary=RoPE(theta=10000.0, layout="interleaved"))),
    "theta is 500000 in place of 10000": (llama(), llama(rotary=RoPE(theta=500000.0, layout="half"))),
    "50% of each head is rotated": (llama(), llama(rotary=RoPE(theta=10000.0, layout="half", fraction=0.5))),
    "rotary positions are missing": (llama(), llama(rotary=None)),
    "the scaling of rotary positions is missing": (
        llama(rotary=RoPE(theta=10000.0, layout="half", scaling=LinearScaling(factor=2.0))), llama(),
    ),
    "the scale of embeddings is missing": (gpt(), gpt(embedding_scale=None)),
    "the scale of the residual branch is missing": (gpt(), gpt(branch=1.0)),
    "the table of positions is missing": (gpt(), gpt(positions=None)),
    "the softcap of the logits is missing": (gpt(), gpt(softcap=None)),
    "the head is tied to the embedding": (llama(), llama().replace(head=None)),
}  # fmt: skip


def said(result):
    assert not result.passed
    assert result.diagnosis.whole, result
    return [finding.words for finding in result.diagnosis.findings]


def test_an_equal_port_passes():
    for spec in (llama(), gpt()):
        result = compare(port(spec, weights_of(spec)), spec, weights_of(spec))
        assert result.passed
        assert result.diagnosis is None
        assert result.kl_max < 1e-12


@pytest.mark.parametrize("words", WRONG_SPECS)
def test_one_mistake_is_named(words):
    right, wrong = WRONG_SPECS[words]
    weights = weights_of(right) | {p: w for p, w in weights_of(wrong).items() if p not in weights_of(right)}
    given = {path: weights[path] for path in weights_of(right)}
    found = said(compare(port(wrong, weights), right, given, inputs={"tokens": TOKENS}))
    assert len(found) == 1, found
    assert words in found[0]


def fed(weights):
    spec = llama()
    return said(compare(port(spec, weights), spec, weights_of(spec), inputs={"tokens": TOKENS}))


def test_weights_in_the_wrong_place_are_named():
    given = weights_of(llama())
    kernels = {"query": [p for p in given if "query.kernel" in p], "out": [p for p in given if "out.kernel" in p]}
    assert fed(given | {p: given[p].T for p in kernels["query"]}) == ["stack.layers.*.mixer.query.kernel is transposed"]
    gates = {p: given[p.replace("gate", "up")] for p in given if "gate" in p}
    ups = {p: given[p.replace("up", "gate")] for p in given if ".up." in p}
    assert fed(given | gates | ups) == [
        "stack.layers.*.channel.gate.kernel and stack.layers.*.channel.up.kernel are swapped"
    ]


def test_two_mistakes_at_once():
    right, wrong = gpt(), gpt(activation=GELUTanh(), norm=LayerNorm(epsilon=1e-6, bias=True))
    found = said(compare(port(wrong, weights_of(wrong)), right, weights_of(right), inputs={"tokens": TOKENS}))
    assert {re.sub(" (in place|is).*", "", words) for words in found} == {"GELUTanh", "a norm's epsilon"}


def test_one_place_of_several():
    """Only the last norm has another epsilon."""
    right = llama()
    wrong = right.replace(norm=RMSNorm(epsilon=1e-3))
    found = said(compare(port(wrong, weights_of(wrong)), right, weights_of(right), inputs={"tokens": TOKENS}))
    assert found == ["a norm's epsilon is 0.001 in place of 1e-05 at norm"]


def test_faults_of_functions_are_named(monkeypatch):
    def rms_norm(x, shape, weight, epsilon):
        return x / (x.square().mean(dim=-1, keepdim=True).sqrt() + epsilon) * weight

    with monkeypatch.context() as patched:
        patched.setattr(torch_norms.F, "rms_norm", rms_norm)
        assert fed(weights_of(llama())) == ["RMSNorm adds epsilon outside the root"]

    class Backwards(torch_rotary.RoPE):
        def forward(self, x, ctx):
            return super().forward(x, ctx.replace(positions=-ctx.positions))

    with monkeypatch.context() as patched:
        patched.setitem(torch_rotary.natives._table, RoPE, Backwards)
        assert fed(weights_of(llama())) == ["rotary positions turn the other way"]


def torch_gradients(spec, weights, lost=""):
    """The gradients of a port in PyTorch, without those of some parameters."""

    def gradients(tokens, cotangent):
        found = find_backend("torch").gradients(spec, weights, {"tokens": tokens}, cotangent, policy=EXACT)[0]
        return {path: 0.0 * g if lost and lost in path else g for path, g in found.items()}

    return gradients


def test_gradients_are_compared_and_explained():
    spec, weights = gpt(), weights_of(gpt())
    right = compare(
        port(spec, weights), spec, weights, gradients=torch_gradients(spec, weights), inputs={"tokens": TOKENS}
    )
    assert right.passed
    assert {gap.stage for gap in right.gaps} == {"forward", "gradients"}
    lost = torch_gradients(spec, weights, lost="norm.bias")
    wrong = compare(port(spec, weights), spec, weights, gradients=lost, inputs={"tokens": TOKENS})
    assert wrong.first.stage == "gradients"
    assert said(wrong) == ["no gradient reaches any LayerNorm's bias"]
    assert "different in the gradient of" in str(wrong)


def test_the_first_intermediate_that_differs_is_found():
    right, wrong = llama(), llama(rotary=RoPE(theta=500000.0, layout="half"))
    weights = weights_of(right)

    def function(tokens):
        result = find_backend("torch").run(wrong, weights, {"tokens": tokens}, policy=EXACT)
        return result.output, {
            p: a for p, a in result.intermediates.items() if p.endswith(("mixer", "channel", "norm"))
        }

    result = compare(function, right, weights, inputs={"tokens": TOKENS})
    assert result.first.where == "stack.layers.0.mixer"
    assert "different at stack.layers.0.mixer" in str(result)
    assert "theta is 500000" in said(result)[0]
    with pytest.raises(InputError, match=r"no intermediate 'stack.layers.0.mixxer'.*stack.layers.0.mixer"):
        compare(lambda tokens: (function(tokens)[0], {"stack.layers.0.mixxer": tokens}), right, weights)
    with pytest.raises(InputError, match="'norm' has the shape"):
        compare(lambda tokens: (function(tokens)[0], {"norm": np.zeros(3)}), right, weights)


def test_something_unknown_is_not_named():
    spec = llama()
    right = port(spec, weights_of(spec))
    result = compare(
        lambda tokens: right(tokens) + np.sin(np.arange(19)), spec, weights_of(spec), inputs={"tokens": TOKENS}
    )
    assert not result.passed
    assert not result.diagnosis.whole


def test_what_is_not_finite_is_different_and_not_explained():
    spec, weights = llama(), weights_of(llama())
    result = compare(lambda tokens: np.full((*tokens.shape, 19), np.nan), spec, weights)
    assert not result.passed
    assert result.diagnosis.findings == ()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_is_not_taken_for_a_mistake(dtype):
    spec = llama()
    weights = {path: torch.from_numpy(w).to(dtype) for path, w in weights_of(spec).items()}
    name = str(dtype).removeprefix("torch.")
    held = {path: w.double().numpy() for path, w in weights.items()}

    def function(tokens):
        output = find_backend("torch").run(spec, held, {"tokens": tokens}, policy=Policy.exact(name)).output
        return torch.from_numpy(output.astype(np.float32)).to(dtype)

    result = compare(function, spec, weights, inputs={"tokens": TOKENS})
    assert result.passed, result
    assert result.dtype == name
    assert result.output.limit > 1e-8


def test_bad_arguments():
    spec = llama()
    weights = weights_of(spec)
    with pytest.raises(InputError, match=r"weight_map: the parameter 'norm.scale' is missing"):
        compare(port(spec, weights), spec, {p: w for p, w in weights.items() if p != "norm.scale"})
    with pytest.raises(InputError, match="output has the shape"):
        compare(lambda tokens: jnp.zeros((1, 2, 3)), spec, weights)
    with pytest.raises(InputError, match="holds int64"):
        compare(lambda tokens: tokens, spec, weights)
    with pytest.raises(InputError, match="no model: give inputs"):
        compare(lambda x: x, RMSNorm(epsilon=1e-5), {"scale": np.ones(4)})


def test_kl_is_a_sum_over_the_vocabulary():
    p, q = np.array([0.2, 0.8]), np.array([0.5, 0.5])
    kl = kl_per_token(np.log(p)[None, None], np.log(q)[None, None] + 3.0)
    np.testing.assert_allclose(kl, [[np.sum(p * np.log(p / q))]])


@pytest.mark.slow
def test_the_guide_tells_the_truth():
    """Its programs print what it says, but for the digits of errors."""
    programs = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
    outputs = re.findall(r"```text\n(.*?)```", GUIDE, re.S)
    assert len(programs) == len(outputs) == 3
    for program, output in zip(programs, outputs, strict=True):
        done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        assert digits_aside(done.stdout) == digits_aside(output)


def digits_aside(text):
    return re.sub(r"\d\.\d+e[+-]\d\d", "#", text)
