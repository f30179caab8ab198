"""Kinds of models beside the language model: against PyTorch's own layers, in generation, and in what they are for."""

import numpy as np
import pytest

from archlab import reference
from archlab.activations import GELUErf, ReLU
from archlab.backends import find_backend, initial_weights
from archlab.block import Block
from archlab.channels.mlp import MLP
from archlab.errors import InputError
from archlab.fronts.frames import Convolution, Frames
from archlab.fronts.patches import Patches
from archlab.generation import Draft, generate
from archlab.inits import Normal
from archlab.losses import cross_entropy
from archlab.mixers.attention import Attention, attention_example
from archlab.mixers.cross_attention import CrossAttention
from archlab.mixers.rg_lru import RGLRU
from archlab.model import tiny_model
from archlab.models.early_exit import EarlyExitModel
from archlab.models.encoder import Encoder
from archlab.models.encoder_decoder import seq2seq_example
from archlab.models.multi_token import MultiTokenModel
from archlab.norms import LayerNorm
from archlab.optim.adamw import AdamW
from archlab.parity.bench import Bench
from archlab.parity.cases import Case, drawn_weights
from archlab.parity.sequence_laws import decode
from archlab.parity.tolerances import relative
from archlab.policy import Policy
from archlab.residuals import PostNorm
from archlab.sampling import Sampling
from archlab.spec import Example, schema
from archlab.stack import Stack
from archlab.tokenizers import ByteTokenizer
from archlab.tower import Tower
from archlab.wiring.decoder_block import DecoderBlock
from archlab.wiring.hourglass import Hourglass
from archlab.wiring.mixture_of_depths import MixtureOfDepths

BACKENDS = ["jax", "torch"]
EXACT = Policy.exact()
WIDTH, HEADS, HIDDEN = 8, 2, 12
POST = PostNorm(norm=LayerNorm(epsilon=1e-5, bias=True))


def drawn(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# --- PyTorch's own layers -----------------------------------------------------------------------------


def attention(visibility, **fields):
    return Attention(heads=HEADS, kv_heads=HEADS, visibility=visibility, bias=True, out_bias=True, **fields)


def channel(activation):
    return MLP(hidden=HIDDEN, activation=activation, bias=True)


def of_attention(layer, name, weights):
    """The weights of an ``nn.MultiheadAttention`` under the names of a mixer."""
    for part, kernel, bias in zip(
        ("query", "key", "value"), layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3), strict=True
    ):
        weights |= {f"{name}.{part}.kernel": kernel.T, f"{name}.{part}.bias": bias}
    weights |= {f"{name}.out.kernel": layer.out_proj.weight.T, f"{name}.out.bias": layer.out_proj.bias}


def of_layer(layer, mixers):
    """The weights of a layer of ``nn.Transformer`` under the names of a block after norms."""
    weights = {}
    for number, (name, inner) in enumerate([*mixers.items(), ("channel", None)], start=1):
        norm = getattr(layer, f"norm{number}")
        weights |= {f"{name}_residual.norm.scale": norm.weight, f"{name}_residual.norm.bias": norm.bias}
        if inner is not None:
            of_attention(inner, name, weights)
    for part, linear in (("up", layer.linear1), ("down", layer.linear2)):
        weights |= {f"channel.{part}.kernel": linear.weight.T, f"channel.{part}.bias": linear.bias}
    return {path: value.detach().numpy() for path, value in weights.items()}


def shaken(layer):
    """Nothing that is 0 or 1 at first stays so."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return layer.eval()


def test_a_block_after_norms_is_pytorchs_encoder_layer():
    import torch

    layer = shaken(
        torch.nn.TransformerEncoderLayer(
            WIDTH, HEADS, HIDDEN, 0.0, activation="gelu", batch_first=True, dtype=torch.float64
        )
    )
    spec = Block(mixer=attention("bidirectional"), channel=channel(GELUErf()), residual=POST)
    x, real = drawn((2, 7, WIDTH)), np.array([[1] * 7, [1] * 4 + [0] * 3])
    truth = layer(torch.from_numpy(x), src_key_padding_mask=torch.from_numpy(real == 0)).detach().numpy()
    got = reference.run(spec, of_layer(layer, {"mixer": layer.self_attn}), {"x": x, "segments": real}).output
    assert relative(got[real > 0], truth[real > 0]) <= 1e-12


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
def test_a_decoder_block_is_pytorchs_decoder_layer(backend):
    import torch

    layer = shaken(
        torch.nn.TransformerDecoderLayer(
            WIDTH, HEADS, HIDDEN, 0.0, activation="relu", batch_first=True, dtype=torch.float64
        )
    )
    cross = CrossAttention(heads=HEADS, kv_heads=HEADS, bias=True, out_bias=True)
    block = DecoderBlock(mixer=attention("causal"), cross=cross, channel=channel(ReLU()), residual=POST)
    model = seq2seq_example().spec.replace(
        width=WIDTH,
        encoder=Tower(stack=Stack(pattern=(encoder_layer(),), repeat=1), norm=None),
        decoder=Tower(stack=Stack(pattern=(block,), repeat=1), norm=None),
    )
    weights = drawn_weights(model.root(), 0)
    weights |= {
        f"decoder.stack.layers.0.{path}": value
        for path, value in of_layer(layer, {"mixer": layer.self_attn, "cross": layer.multihead_attn}).items()
    }
    rng = np.random.default_rng(1)
    inputs = {"tokens": rng.integers(0, 11, (2, 5)), "source_tokens": rng.integers(0, 11, (2, 6))}
    inputs["source_segments"] = np.array([[1] * 6, [1] * 2 + [0] * 4])
    found = reference.run(model, weights, inputs)
    memory, table = found.intermediates["encoder"], weights["embedding.table"]
    y = layer(
        torch.from_numpy(table[inputs["tokens"]]),
        torch.from_numpy(memory),
        tgt_mask=torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64),
        memory_key_padding_mask=torch.from_numpy(inputs["source_segments"] == 0),
    )
    got = found if backend == "reference" else find_backend(backend).run(model, weights, inputs, policy=EXACT)
    assert relative(got.output, y.detach().numpy() @ table.T) <= 1e-12


def encoder_layer():
    return Block(mixer=attention("bidirectional"), channel=channel(ReLU()), residual=POST)


def test_patches_are_pytorchs_convolution():
    import torch

    front = Patches(size=(6, 8), patch=(2, 4), channels=3, bias=True, learned=0)
    tower = Tower(stack=Stack(pattern=(encoder_layer(),), repeat=1), norm=None)
    model = Encoder(width=WIDTH, front=front, tower=tower)
    convolution = torch.nn.Conv2d(3, WIDTH, (2, 4), stride=(2, 4), dtype=torch.float64)
    kernel = convolution.weight.detach().numpy()  # (out, channels, rows, columns)
    weights = drawn_weights(model.root(), 0) | {
        "front.linear.kernel": kernel.transpose(2, 3, 1, 0).reshape(-1, WIDTH),
        "front.linear.bias": convolution.bias.detach().numpy(),
    }
    image = drawn((2, 6, 8, 3))
    truth = convolution(torch.from_numpy(image.transpose(0, 3, 1, 2))).flatten(2).mT.detach().numpy()
    assert relative(reference.run(model, weights, {"image": image}).intermediates["front"], truth) <= 1e-12


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_of_frames_is_pytorchs(stride):
    import torch

    front = Frames(
        features=5, convolutions=(Convolution(features=16, taps=3, stride=stride, bias=True, activation=GELUErf()),)
    )
    model = seq2seq_example(source=front).spec
    convolution = torch.nn.Conv1d(5, 16, 3, stride=stride, padding=1, dtype=torch.float64)
    weights = drawn_weights(model.root(), 0) | {
        "source.convolutions.0.kernel": convolution.weight.detach().numpy().transpose(2, 1, 0),
        "source.convolutions.0.bias": convolution.bias.detach().numpy(),
    }
    frames = drawn((2, 7, 5))
    inputs = {"tokens": np.zeros((2, 3), dtype=int), "source_frames": frames}
    truth = torch.nn.functional.gelu(convolution(torch.from_numpy(frames).mT)).mT.detach().numpy()
    assert relative(reference.run(model, weights, inputs).intermediates["source"], truth) <= 1e-12


# --- two sequences ------------------------------------------------------------------------------------


def pair(backend, policy=EXACT):
    """An encoder-decoder with its weights, and two sources of unequal length, padded, with what is written so far."""
    model = seq2seq_example().spec
    rng = np.random.default_rng(2)
    source = rng.integers(1, 11, (2, 6))
    segments = np.array([[1] * 6, [1] * 3 + [0] * 3])
    return model, drawn_weights(model.root(), 3), rng.integers(0, 11, (2, 4)), source, segments


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_module_encodes_and_decodes_by_halves(backend):
    model, weights, tokens, source, segments = pair(backend)
    truth = reference.run(model, weights, {"tokens": tokens, "source_tokens": source, "source_segments": segments})
    module = find_backend(backend).build(model, policy=Policy(), weights=weights)
    if backend == "torch":
        import torch

        module.eval()
        tokens, source, segments = (torch.from_numpy(a) for a in (tokens, source, segments))
    logits = module.decode(tokens, module.encode({"tokens": source, "segments": segments}))
    logits = logits.detach().numpy() if backend == "torch" else np.asarray(logits)
    assert relative(logits, truth.output) <= 1e-5


@pytest.mark.parametrize("backend", BACKENDS)
def test_generation_reads_each_source_once_and_alone(backend):
    model = seq2seq_example().spec.replace(vocab=256)
    weights = initial_weights(model, seed=0)
    text = {"sources": ["ışık", "a much longer source"], "max_new_tokens": 5, "sampling": Sampling(temperature=0.0)}
    found = generate(find_backend(backend), model, weights, ByteTokenizer().train([]), ["", ""], **text)
    for row, (source, written) in enumerate(zip(text["sources"], found, strict=True)):
        tokens = [model.start]
        for _ in range(5):
            inputs = {"tokens": np.array([tokens]), "source_tokens": np.array([list(source.encode())])}
            tokens.append(int(reference.run(model, weights, inputs).output[0, -1].argmax()))
        assert written.tokens == tokens[1:], row


def test_generation_ends_before_a_stop_token():
    model = seq2seq_example().spec.replace(vocab=256)
    weights, tokenizer = initial_weights(model, seed=0), ByteTokenizer().train([])
    how = {"sources": ["abc"], "max_new_tokens": 6, "sampling": Sampling(temperature=0.0)}
    whole = generate(find_backend("torch"), model, weights, tokenizer, [""], **how)[0].tokens
    cut = generate(find_backend("torch"), model, weights, tokenizer, [""], stop=[whole[0]], **how)[0].tokens
    assert cut == []


def test_what_is_wrong_with_two_sequences_is_said():
    model, weights, tokens, source, segments = pair("torch")
    good = {"tokens": tokens, "source_tokens": source}
    wrong = {
        "the input 'source_tokens' is missing": {"tokens": tokens},
        r"source_tokens\[0, 0\] is 99": good | {"source_tokens": np.full((2, 6), 99)},
        "source_segments and source_tokens have 5 and 6 entries": good | {"source_segments": segments[:, :5]},
        "source_tokens and tokens have 1 and 2 rows": good | {"source_tokens": source[:1]},
        "did you mean 'source_segments'": good | {"source_segment": segments},
    }
    for words, inputs in wrong.items():
        with pytest.raises(InputError, match=words):
            reference.run(model, weights, inputs)
    with pytest.raises(InputError, match="needs a source for each"):
        generate(find_backend("torch"), model, weights, ByteTokenizer().train([]), ["a"])


# --- shorter sequences ---------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", ["recurrent", "window"])
@pytest.mark.parametrize("kind", [Hourglass, MixtureOfDepths])
def test_a_state_passes_over_tokens_that_a_layer_does_not_see(kind, inner):
    """Rows are at different places of their groups, and choose different tokens: each has a state of its own."""
    mixer = RGLRU(hidden=12, heads=3, bias=True) if inner == "recurrent" else attention_example(window=2).spec
    layer = Block(mixer=mixer, residual=POST)
    own = {"factor": 3} if kind is Hourglass else {"share": 0.5, "choice": "threshold"}
    case = Case(name="inner", spec_name="inner", example=Example(spec=kind(layer=layer, **own), length=14))
    bench = Bench(case)
    rows = [row for name, others in (("jax", []), ("torch", ["jax"])) for row in decode(bench, name, others)]
    assert [row for row in rows if not row.passed] == []


def test_an_hourglass_reads_whole_groups_only():
    layer = Block(mixer=attention("causal"), residual=POST)
    spec = Hourglass(layer=layer, factor=4)
    weights, x = drawn_weights(spec.at(WIDTH), 0), drawn((1, 11, WIDTH))
    y = reference.run(spec, weights, {"x": x}).output
    assert np.array_equal(y[:, :3], x[:, :3]) and not np.isclose(y[:, 3:], x[:, 3:]).any()


# --- several answers ------------------------------------------------------------------------------------


def multi_token():
    block = tiny_model().stack.pattern[0]
    norm = LayerNorm(epsilon=1e-5, bias=True)
    return tiny_model(repeat=1).into(MultiTokenModel, further=(block, block), further_norm=norm, weight=0.4)


def test_a_draft_proposes_without_what_only_its_training_needs():
    draft = multi_token().replace(vocab=256)
    model = draft.for_generation()
    weights, tokenizer = drawn_weights(draft.root(), 0), ByteTokenizer().train([])
    own = {path: weights[path] for path in schema(model.root())}
    how = {"max_new_tokens": 6, "sampling": Sampling(temperature=0.0)}
    alone = generate(find_backend("torch"), model, own, tokenizer, ["ab"], **how)
    proposed = generate(
        find_backend("torch"), model, own, tokenizer, ["ab"], draft=Draft(model=draft, weights=weights), **how
    )
    assert proposed == alone


def test_predictions_further_ahead_are_the_papers():
    """Module by module in the paper's indices: state i and token i + k predict token i + k + 1."""
    model = multi_token()
    weights, text = drawn_weights(model.root(), 0), np.random.default_rng(0).integers(0, 19, (2, 9))
    tokens, length = text[:, :-1], 8
    output = reference.run(model, weights, {"tokens": tokens}).output
    alone = model.for_generation()
    found = reference.run(alone, {p: weights[p] for p in schema(alone.root())}, {"tokens": tokens})
    assert relative(output[:, :, 0], found.output) <= 1e-12

    def part(path, x, spec, **where):
        own = {p.removeprefix(f"{path}."): w for p, w in weights.items() if p.startswith(f"{path}.")}
        return reference.run(spec, own, {"x": x, **where}).output

    h, table, norm = found.intermediates["stack"], weights["embedding.table"], model.further_norm
    for k in (1, 2):
        h = h[:, :-1]  # of positions i = 0 … T − 1 − k
        member = f"further.{k - 1}"
        parts = [part(f"{member}.state_norm", h, norm), part(f"{member}.token_norm", table[tokens[:, k:]], norm)]
        x = np.concatenate(parts, axis=-1) @ weights[f"{member}.join.kernel"]
        h = part(f"{member}.layer", x, model.further[k - 1])
        logits = part(f"{member}.norm", h, norm) @ table.T
        assert logits.shape[1] == length - k
        assert relative(output[:, k:, k], logits) <= 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
def test_further_answers_reach_the_loss(backend):
    model = multi_token()
    weights, text = drawn_weights(model.root(), 0), np.random.default_rng(0).integers(0, 19, (2, 9))
    batch = {"tokens": text[:, :-1], "targets": text[:, 1:]}
    output = reference.run(model, weights, {"tokens": batch["tokens"]}).output
    means = [
        total / count for total, count in (cross_entropy(output[:, k:, k], batch["targets"][:, k:]) for k in range(3))
    ]
    optimizer = AdamW(beta1=0.9, beta2=0.99, epsilon=1e-8, weight_decay=0.0)
    trainer = find_backend(backend).trainer(model, weights=weights, optimizer=optimizer, clip=None, policy=EXACT)
    assert trainer.evaluate(batch)[0] / 16 == pytest.approx(means[0], rel=1e-12)
    step = trainer.step(batch, 1e-3)
    assert float(step.loss) == pytest.approx(means[0] + 0.2 * means[1] + 0.2 * means[2], rel=1e-12)
    assert {name: float(v) for name, v in step.noted.items()} == pytest.approx(
        {"ahead.1": means[1], "ahead.2": means[2]}
    )


def test_a_sure_token_leaves_with_the_answer_of_its_exit():
    stack = tiny_model(repeat=1).stack
    model = tiny_model(repeat=1).into(EarlyExitModel, later=(stack, stack), weights=(0.1, 0.2))
    weights, tokens = drawn_weights(model.root(), 0), np.random.default_rng(0).integers(0, 19, (2, 6))
    every = reference.run(model, weights, {"tokens": tokens}).output

    def taken(threshold):
        return reference.run(model.replace(threshold=threshold), weights, {"tokens": tokens}).output

    assert np.array_equal(taken(1.0), every[:, :, 0])  # nobody is that sure: the last answer, the main one
    assert np.array_equal(taken(0.01), every[:, :, 1])  # everybody leaves at the first exit
    probability = np.exp(every[:, :, 1]) / np.exp(every[:, :, 1]).sum(axis=-1, keepdims=True)
    threshold = float(np.median(probability.max(axis=-1)))
    sure = probability.max(axis=-1) > threshold
    some = taken(threshold)
    assert 0 < sure.sum() < sure.size
    assert np.array_equal(some[sure], every[:, :, 1][sure]) and not np.isclose(some[~sure], every[:, :, 1][~sure]).any()


def test_embeddings_of_types_are_zero_unless_given():
    from archlab.fronts.tokens import Tokens
    from archlab.models.encoder import encoder_example

    model = encoder_example(Tokens(vocab=7, init=Normal(std=1.0), types=2)).spec
    weights, tokens = drawn_weights(model.root(), 0), np.arange(6).reshape(1, 6)
    without = reference.run(model, weights, {"tokens": tokens}).output
    given = reference.run(model, weights, {"tokens": tokens, "token_types": np.zeros((1, 6), dtype=int)}).output
    other = reference.run(model, weights, {"tokens": tokens, "token_types": np.ones((1, 6), dtype=int)}).output
    assert np.array_equal(without, given) and not np.isclose(without, other).any()
