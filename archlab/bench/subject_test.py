import numpy as np
import pytest

from archlab import catalog, config_files
from archlab.bench import decoding
from archlab.bench.subject import BATCH, LENGTH, Subject, places, random_batches, sequences, subjects
from archlab.config_files_test import run_config
from archlab.errors import InputError
from archlab.model import tiny_model
from archlab.models.dual_encoder import DualEncoder
from archlab.optim.adamw import AdamW
from archlab.run_config import RunConfig


@pytest.fixture
def subject(tmp_path):
    def make(config, *overrides, length=None, batch=None):
        path = tmp_path / "config.json"
        config_files.save(config, path)
        return Subject(name="it", config=str(path), overrides=overrides, backend="x", length=length, batch=batch)

    return make


def test_a_run_is_timed_as_it_is_or_in_other_shapes(subject):
    assert subject(run_config()).run() == run_config()
    run = subject(run_config(), "train.clip=2.0", length=6, batch=3).run()
    assert (run.data.length, run.data.batch, run.train.clip) == (6, 3, 2.0)


def test_a_model_alone_gets_a_run_around_it(subject):
    run = subject(tiny_model(), "stack.repeat=1", "policy.compute=bfloat16", "train.optimizer.beta1=0.5").run()
    assert (run.model, run.policy.compute) == (tiny_model(repeat=1), "bfloat16")
    assert isinstance(run.train.optimizer, AdamW) and run.train.optimizer.beta1 == 0.5
    assert (run.data.length, run.data.batch) == (LENGTH, BATCH)


@pytest.mark.parametrize(
    ("overrides", "sizes", "says"),
    [
        (("policy.accumulate=3",), {"batch": 4}, "data.batch: 4 cannot be split"),
        (("polic.compute=bfloat16",), {}, "polic"),
    ],
)
def test_what_does_not_fit_is_said(subject, overrides, sizes, says):
    with pytest.raises(InputError, match=says):
        subject(tiny_model(), *overrides, **sizes).run()


@pytest.mark.parametrize("name", ["gpt2", "t5", "bert", "vit", "deepseek-v3"])
def test_batches_hold_all_that_a_model_is_fed(name):
    model = catalog.model(name)
    run = RunConfig.from_dict(run_config().to_dict() | {"model": model.to_dict()})
    batch = random_batches(run)[0]
    rows, length = batch["targets"].shape
    assert (rows, length) == (run.data.batch, places(run))
    for input_name, item in model.inputs().items():
        assert (input_name in batch) == (item.kind != "where")
        if item.below is not None:
            assert batch[input_name].max() < item.below
    assert batch["targets"].max() < model.classes()


def test_sequences_are_as_long_as_the_objective_has_them():
    objective = {"type": "SpanCorruption", "layout": "encoder_decoder"}
    config = run_config().to_dict() | {"model": catalog.model("t5").to_dict()}
    plain = RunConfig.from_dict(config)
    assert sequences(plain) == {"S": 8, "T": 8}
    asked = RunConfig.from_dict(config | {"data": plain.data.to_dict() | {"length": 64, "objective": objective}})
    lengths = sequences(asked)
    assert lengths["S"] > lengths["T"] == random_batches(asked)[0]["targets"].shape[1]
    assert decoding.least_bytes(asked, 1) < 4 * sum(np.prod(p.shape) for n, p in _params(asked.model).items())


def test_a_model_that_tells_rows_apart_has_them_as_targets():
    run = RunConfig.from_dict(run_config().to_dict() | {"model": DualEncoder.examples()[0].spec.to_dict()})
    assert np.max([batch["targets"].max() for batch in random_batches(run)]) == run.data.batch - 1


def test_names_are_as_short_as_they_can_be():
    def names(*configs):
        return [subject.name for subject in subjects(list(configs), [], ["jax", "torch"], None, None)]

    assert names("a/one.yaml", "two") == ["one, jax", "one, torch", "two, jax", "two, torch"]
    assert names("a/one.yaml", "b/one.yaml")[0] == "a/one.yaml, jax"


@pytest.mark.parametrize(("name", "says"), [("vit", "writes no tokens"), ("bert", "write token by token: ")])
def test_models_that_cannot_write_are_named(name, says):
    with pytest.raises(InputError, match=says):
        decoding.check(RunConfig.from_dict(run_config().to_dict() | {"model": catalog.model(name).to_dict()}))


def test_the_least_bytes_are_the_weights_met_and_the_state():
    run = run_config()  # a tied table: it is multiplied with
    met = sum(np.prod(p.shape) for n, p in _params(run.model).items() if len(p.shape) > 1)
    prompt, new = decoding.spans(run)
    state = 2 * 2 * 4 * (prompt + new // 2) * 2 * 4  # keys and values, layers, width of a head, places, heads, bytes
    assert decoding.least_bytes(run, 1) - 4 * met == pytest.approx(state, rel=0.2)  # and positions
    assert decoding.least_bytes(run, 3) - decoding.least_bytes(run, 1) > 2 * state * 0.9


def _params(model):
    from archlab.spec import schema

    return schema(model.root())
