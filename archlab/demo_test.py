import pytest
from rich.console import Console

from archlab import demo
from archlab.testing.bigram import BigramBackend, BigramTrainer, bigram_run


class Skewed(BigramBackend):
    """Trains a little differently."""

    def trainer(self, model, **arguments):
        class Trainer(BigramTrainer):
            def step(self, batch, rate):
                return super().step(batch, rate * 1.01)

        return Trainer(model, arguments["weights"], arguments["optimizer"], arguments["clip"])


@pytest.fixture
def config(tmp_path):
    (tmp_path / "text.txt").write_text("def f(x): return x\ndef g(y): return y\n" * 80)
    return bigram_run(str(tmp_path / "text.txt"))


def test_equal_backends_agree(config, tmp_path):
    console = Console(record=True, width=100)
    assert demo.demo(config, [BigramBackend("one"), BigramBackend("two")], tmp_path / "demo", console)
    text = console.export_text()
    assert "differ by at most 0.0e+00" in text
    assert text.count("def ") >= 2
    assert (tmp_path / "demo/loss.png").is_file()


def test_backends_that_train_differently_do_not(config, tmp_path):
    assert not demo.demo(config, [BigramBackend("one"), Skewed("two")], tmp_path / "demo", Console(record=True))


def test_the_spread_is_relative():
    assert demo.spread([2.0, 2.2, 2.1]) == pytest.approx(0.1)
