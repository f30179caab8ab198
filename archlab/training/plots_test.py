import pytest

from archlab.errors import InputError
from archlab.testing.bigram import BigramBackend, bigram_run
from archlab.training import loop, plots


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    (folder / "text.txt").write_text("to be or not to be, that is the question. " * 40)
    config = bigram_run(str(folder / "text.txt"))
    return [loop.train(config, BigramBackend(name), out=folder / name).run_dir for name in ("one", "two")]


def pixels(path):
    from matplotlib.image import imread

    return imread(path)


def test_one_run_and_several_give_pictures_that_differ(trained, tmp_path):
    both = pixels(plots.plot_losses(trained, tmp_path / "sub/both.png", title="Two runs"))
    one = pixels(plots.plot_losses(trained[:1], tmp_path / "one.png"))
    assert both.shape == one.shape
    assert min(both.shape[:2]) > 600
    assert (both != one).any()
    assert (one[..., :3].mean(axis=-1) > 0.99).mean() > 0.8  # dark on white


def test_labels_name_the_backends(trained):
    assert [plots._label(path, 2) for path in trained] == ["one", "two"]


def test_nothing_to_plot(tmp_path):
    with pytest.raises(InputError, match="no run to plot"):
        plots.plot_losses([], tmp_path / "x.png")
