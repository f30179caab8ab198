import pytest

import archlab.experiment
from archlab import catalog
from archlab.architecture import Architecture, ArchitectureConfig, FeedForward, MultiHeadAttention
from archlab.builder import ModelBuilder
from archlab.errors import InputError
from archlab.experiment import Experiment
from archlab.testing.bigram import BigramBackend, bigram_model
from archlab.tokenizers import ByteTokenizer


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.setattr(archlab.experiment, "find_backend", lambda name: BigramBackend(name))
    path = tmp_path / "text.txt"
    path.write_text("a rose is a rose is a rose, and a nose is a nose.\n" * 60)
    return str(path)


def test_run_and_plot(text, tmp_path):
    experiment = Experiment(
        bigram_model(vocab=256), text, tokenizer=ByteTokenizer(), backend="jax",
        batch_size=4, max_steps=20, length=16, learning_rate=0.05, out=tmp_path / "run",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"call run\(\) before plot_metrics\(\)"):
        experiment.plot_metrics()
    results = experiment.run()
    assert results.backend == "jax"
    assert results.losses("val")[-1] == (20, results.val_loss)
    assert results.losses("val")[0][1] - results.val_loss > 1.0
    assert results.losses()[-1] == (20, results.train_loss)
    assert experiment.plot_metrics() == tmp_path / "run/loss.png"
    assert experiment.plot_metrics(tmp_path / "mine.png").is_file()


def test_what_an_architecture_can_be(text):
    class Custom(Architecture):
        def __init__(self, config):
            self.attention = MultiHeadAttention(config)
            self.ffn = FeedForward(config)

    sizes = ArchitectureConfig(width=16, heads=2, hidden=16, layers=1)
    builder = ModelBuilder(width=16).add_decoder(layers=1).add_attention(heads=2).add_ffn(dim=16)
    characters = len(set("a rose is a rose, and a nose.\n"))

    def model(architecture):
        return Experiment(architecture, text, length=16, max_steps=1).config.model

    assert model("mini-gpt") == catalog.model("mini-gpt", vocab=characters, length=16)
    assert model("llama-3") == catalog.model("llama-3", vocab=characters)
    assert model(Custom(sizes)) == model(builder) == Custom(sizes).spec()
    assert model("configs/tiny_llama.yaml").vocab >= characters


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "mini-gtp"}, "no architecture 'mini-gtp' in the catalogue; did you mean 'mini-gpt'"),
        ({"architecture": 3}, r"architecture is a int; give a name of the catalogue \(bart, bert"),
        ({"architecture": bigram_model(vocab=5)}, r"model\.vocab: 5 is less than"),
        ({"architecture": bigram_model(vocab=99, positions=8)}, "a sequence of 16 tokens is longer than the model"),
        ({"architecture": ModelBuilder().add_encoder(layers=1).add_attention(heads=1).add_ffn(dim=8)}, "'causal'"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"dataset": "tiny-shakespere"}, "tiny-shakespeare"),
    ],
)
def test_bad_input_is_refused_before_training(text, changes, message):
    arguments = {"architecture": "mini-gpt", "dataset": text, "length": 16, "max_steps": 4} | changes
    with pytest.raises(InputError, match=message):
        Experiment(**arguments)
