import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from archlab import catalog, config_files, reference, weights, yaml_text
from archlab.config import Config, find_type, registered, type_name
from archlab.data.config import DataConfig
from archlab.errors import InputError
from archlab.model import Model, tiny_model
from archlab.optim.adamw import AdamW
from archlab.optim.schedules import ConstantRate
from archlab.run_config import RunConfig, TrainConfig
from archlab.spec import Spec
from archlab.tokenizers import Tokenizer

ROOT = Path(__file__).parents[1]
EXAMPLES = [(name, i, e.spec) for name, cls in registered(Spec).items() for i, e in enumerate(cls.examples())]

MIXER = """
from archlab.layers import Linear
from archlab.spec import Mixer


class Fading(Mixer):
    \"\"\"y_t = x_t + decay · y_{t-1}, then a linear map.\"\"\"

    decay: float = 0.5

    def parts(self, width):
        return {"out": Linear(features=width, axes="D D", bias=False).at(width)}

    def forward(self, m, x, ctx, state):
        def step(carry, inputs):
            carry = inputs[0] + self.decay * carry
            return carry, carry

        _, y = ctx.scan(step, ctx.xp.zeros_like(x[:, 0]), (x,))
        return m.out(y, ctx), state
"""


def run_config() -> RunConfig:
    optimizer = AdamW(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1)
    tokenizer = find_type("ByteTokenizer", Tokenizer)
    return RunConfig(
        model=tiny_model(),
        data=DataConfig(dataset="some.txt", tokenizer=tokenizer(), length=8, batch=2),
        train=TrainConfig(steps=3, optimizer=optimizer, schedule=ConstantRate(peak=1e-5), clip=None),
    )


# --- round trips and identity -------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "index", "spec"), EXAMPLES, ids=[f"{n}-{i}" for n, i, _ in EXAMPLES])
def test_every_example_survives_every_format(name, index, spec):
    plain = spec.to_dict()
    read = {
        "dict": plain,
        "json": json.loads(json.dumps(plain)),
        "yaml": yaml_text.parse(yaml_text.write(plain)),
        "ConfigDict": config_files._plain(config_files.to_config_dict(spec)),
    }
    for form, data in read.items():
        again = type(spec).from_dict(data)
        assert again == spec, form
        assert again.hash() == spec.hash(), form


@pytest.mark.parametrize("suffix", ["yaml", "yml", "json"])
@pytest.mark.parametrize("config", [tiny_model(softcap=1e-5), run_config()], ids=["model", "run"])
def test_saved_and_loaded_files_are_equal(tmp_path, config, suffix):
    path = tmp_path / f"c.{suffix}"
    config_files.save(config, path)
    assert config_files.load(path) == config


def test_a_config_dict_has_attributes_inside_lists_and_survives():
    data = config_files.to_config_dict(run_config())
    data.model.stack.pattern[0].mixer.heads = 8
    config = config_files.from_config_dict(data)
    assert config.model.stack.pattern[0].mixer.heads == 8
    assert config.train == run_config().train


def test_config_dict_tuples_and_references_are_resolved():
    from ml_collections import ConfigDict

    plain = tiny_model().to_dict()
    data = ConfigDict(plain)
    layer = ConfigDict(plain["stack"]["pattern"][0])
    layer.channel.hidden = data.get_ref("width") * 4
    data.stack.pattern = (layer,)
    assert config_files.from_config_dict(data).stack.pattern[0].channel.hidden == 64


def test_hashes_are_the_same_for_ever_and_in_any_order_of_fields():
    assert tiny_model().hash() == "25a78a8fd5b730b924c13b72bf7e45539ea78d6bff32fb29620094b676301a7a"
    assert (
        config_files.load(ROOT / "configs" / "tiny_llama.yaml").hash()
        == "719250712bc73fb59d37140fabb9f91c1c8fca170871115869dc5d3220959150"
    )

    def backwards(node):
        if isinstance(node, dict):
            return {k: backwards(node[k]) for k in reversed(node)}
        return [backwards(n) for n in node] if isinstance(node, list) else node

    assert Model.from_dict(backwards(tiny_model().to_dict())).hash() == tiny_model().hash()
    assert tiny_model(softcap=2.0).hash() != tiny_model().hash()


# --- what is accepted ---------------------------------------------------------------------------------


def test_bare_models_run_configs_and_run_directories(tmp_path):
    config_files.save(run_config(), tmp_path / "config.json")
    assert config_files.load(tmp_path) == config_files.load_run(tmp_path) == run_config()
    assert config_files.load_model(tmp_path, ["model.softcap=2", "train.schedule.peak=1e-3"]) == tiny_model(softcap=2.0)
    assert config_files.load_run(tmp_path, ["train.schedule.peak=1e-3"]).train.schedule.peak == 1e-3
    config_files.save(tiny_model(), tmp_path / "m.yaml")
    assert config_files.load_model(tmp_path / "m.yaml") == tiny_model()
    with pytest.raises(InputError, match="model alone"):
        config_files.load_run(tmp_path / "m.yaml")


@pytest.mark.parametrize(
    "body",
    [
        "return tiny_model()",
        "return tiny_model().to_dict()",
        "return ConfigDict(tiny_model().to_dict())",
        "return ConfigDict({'a': tiny_model()}).a",
    ],
)
def test_a_python_config(tmp_path, body):
    text = (
        f"from archlab.model import tiny_model\nfrom ml_collections import ConfigDict\ndef get_config():\n    {body}\n"
    )
    (tmp_path / "c.py").write_text(text)
    assert config_files.load(tmp_path / "c.py") == tiny_model()


def test_an_edited_python_config_is_read_again(tmp_path):
    path = tmp_path / "c.py"
    for softcap in (1.0, 2.0):
        path.write_text(
            f"from archlab.model import tiny_model\ndef get_config(): return tiny_model(softcap={softcap})\n"
        )
        assert config_files.load(path).softcap == softcap


def test_exponents_are_numbers_in_yaml_files_and_texts_stay_texts():
    data = {"a": "1e-3", "b": 1e-3, "c": "0x10", "d": "yes", "e": 1e-10, "f": None, "g": "-2E5", "h": 1.0}
    assert yaml_text.parse(yaml_text.write(data)) == data
    assert yaml_text.parse("[1e-3, -2E5, .5e1, 1.e+4]") == [1e-3, -2e5, 5.0, 1e4]
    assert yaml_text.parse("[1e, e3, 1e-3x, '1e-3']") == ["1e", "e3", "1e-3x", "1e-3"]
    assert yaml_text.parse("[10:13, 1:30.5, 613, 0x1F]") == ["10:13", "1:30.5", 613, 31]


def test_a_number_that_another_yaml_reader_took_for_text_is_explained():
    data = tiny_model().to_dict() | {"softcap": yaml.safe_load("1e-3")}
    with pytest.raises(InputError, match=r"softcap: '1e-3' is not .*"):
        Model.from_dict(data)
    data["norm"]["epsilon"] = "1e-3"
    del data["softcap"]
    with pytest.raises(InputError, match=r"norm.epsilon: '1e-3' is not a number.*1\.0e-3"):
        Model.from_dict(data)


# --- a user's own block -------------------------------------------------------------------------------


def _runs(model: Model) -> None:
    assert type(model.stack.pattern[0].mixer).__name__ == "Fading"
    result = reference.run(model, weights.initial(model.root(), seed=0), {"tokens": np.array([[1, 2, 3, 4]])})
    assert result.output.shape == (1, 4, model.vocab)
    assert np.isfinite(result.output).all()


def _using(name: str) -> dict:
    data = tiny_model().to_dict()
    data["stack"]["pattern"][0]["mixer"] = {"type": name, "decay": 0.25}
    return data


def test_a_block_beside_the_config_file_then_in_the_working_directory(tmp_path, monkeypatch):
    beside, working = tmp_path / "beside", tmp_path / "working"
    for folder in (beside, working):
        folder.mkdir()
    monkeypatch.chdir(working)
    (beside / "c.yaml").write_text(yaml_text.write(_using("blocks/fading.py:Fading")))
    with pytest.raises(InputError, match="no such file"):
        config_files.load(beside / "c.yaml")
    for folder, default in ((working, "0.5"), (beside, "0.125")):  # beside wins as soon as it is there
        (folder / "blocks").mkdir()
        (folder / "blocks" / "fading.py").write_text(MIXER.replace("decay: float = 0.5", f"decay: float = {default}"))
        model = config_files.load(beside / "c.yaml")
        assert type(model.stack.pattern[0].mixer)().decay == float(default)
        _runs(model)


def test_a_user_block_is_saved_so_that_it_is_found_from_anywhere(tmp_path, monkeypatch):
    (tmp_path / "fading.py").write_text(MIXER)
    monkeypatch.chdir(tmp_path)
    model = Model.from_dict(_using("fading.py:Fading"))
    config_files.save(model, tmp_path / "run" / "config.json")
    monkeypatch.chdir("/")
    assert config_files.load(tmp_path / "run") == model


def test_a_user_block_by_module_and_by_shorthand(tmp_path, monkeypatch):
    (tmp_path / "fading_module.py").write_text(MIXER)
    monkeypatch.syspath_prepend(tmp_path)
    _runs(Model.from_dict(_using("fading_module:Fading")))
    config_files.save(tiny_model(), tmp_path / "m.json")
    change = f"stack.pattern[0].mixer={tmp_path}/fading_module.py:Fading"
    _runs(config_files.load_model(tmp_path / "m.json", [change]))


def test_an_installed_block_by_its_short_name(tmp_path):
    (tmp_path / "fading_package.py").write_text(MIXER)
    metadata = tmp_path / "fading-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: fading\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[archlab.specs]\nFading = fading_package:Fading\n")
    (tmp_path / "c.yaml").write_text(yaml_text.write(_using("Fading")))
    code = "import sys; from archlab.cli import main; sys.exit(main(['describe', 'c.yaml']))"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "mixer Fading" in done.stdout


def test_where_a_block_lies_is_no_part_of_the_hash(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "fading.py").write_text(MIXER)
    one, two = (Model.from_dict(_using(f"{tmp_path}/{f}/fading.py:Fading")) for f in ("a", "b"))
    assert one.hash() == two.hash()


# --- what is refused ----------------------------------------------------------------------------------


BAD_FILES = {
    "tab.yaml": ("a:\n\t- 1\n", "tab.yaml is not readable YAML: .*line 2, column 1"),
    "open.yaml": ("a: [1, 2\nb: 3\n", "not readable YAML: .*line 2"),
    "twice.yaml": ("a: 1\nb: 2\na: 3\n", "the key 'a' stands twice at line 3, column 1"),
    "object.yaml": ("!!python/object/apply:os.getcwd []\n", "not readable YAML: .*line 1"),
    "date.yaml": ("a: 2020-13-45\n", "not readable YAML: "),
    "comma.json": ('{"a": 1,\n "b": 2,}', "not readable JSON: .* at line 2, column"),
    "twice.json": ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
    "list.yaml": ("- 1\n", "it is no mapping"),
    "empty.yaml": ("", "it is no mapping"),
    "neither.json": ('{"modle": {}}', "neither 'model' .* nor 'type' .*modle"),
    "typo.yaml": ("type: LanguageModle\n", "typo.yaml: type: .*did you mean 'LanguageModel'"),
    "short.yaml": ("type: LanguageModel\nvocab: 3\n", "short.yaml: width: .*required and is missing"),
    "wrong.toml": ("a = 1\n", r"a config file ends in \.py"),
    "nothing.py": ("x = 1\n", r"defines no get_config\(\)"),
    "syntax.py": ("def get_config(:\n", "cannot be loaded: SyntaxError"),
    "raises.py": ("def get_config(): return 1 / 0\n", r"get_config\(\) failed with ZeroDivisionError"),
    "number.py": ("def get_config(): return 3\n", "it is no mapping"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_gives_one_sentence(tmp_path, name):
    text, says = BAD_FILES[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        config_files.load(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        config_files.load(tmp_path / "c.yaml")


def test_a_missing_file_names_the_nearest_one(tmp_path):
    config_files.save(tiny_model(), tmp_path / "tiny_llama.yaml")
    with pytest.raises(InputError, match=r"did you mean .*/tiny_llama\.yaml\?"):
        config_files.load(tmp_path / "tiny_lama.yml")
    with pytest.raises(InputError, match=r"the configs in .* are: tiny_llama\.yaml"):
        config_files.load(tmp_path / "q.json")
    with pytest.raises(InputError, match="no folder"):
        config_files.load(tmp_path / "absent" / "q.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"without config\.json"):
        config_files.load(tmp_path / "folder")
    with pytest.raises(InputError, match=r"\.yaml, \.yml or \.json"):
        config_files.save(tiny_model(), tmp_path / "c.toml")


def test_an_unknown_key_deep_inside_names_its_path_and_the_nearest_key(tmp_path):
    data = run_config().to_dict()
    data["model"]["stack"]["pattern"][0]["mixer"]["kv_head"] = 2
    (tmp_path / "c.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"c\.json: model\.stack\.pattern\[0\]\.mixer\.kv_head: .*mean 'kv_heads'"):
        config_files.load(tmp_path / "c.json")


# --- models of the catalogue ----------------------------------------------------------------------------


def test_a_model_by_its_name():
    assert config_files.load("llama-3") == config_files.load_model("llama-3") == catalog.model("llama-3")
    changed = config_files.load_model("llama-3", ["stack.repeat=1", "vocab=65"])
    assert (changed.vocab, len(changed.stack.layers)) == (65, 1)


def test_a_name_goes_before_a_directory_and_not_before_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config_files.save(run_config(), "gpt2/config.json")
    config_files.save(tiny_model(), "gpt2.yaml")
    assert config_files.load("gpt2") == catalog.model("gpt2")
    assert config_files.load("./gpt2") == config_files.load(Path("gpt2")) == run_config()
    assert config_files.load("gpt2.yaml") == tiny_model()


@pytest.mark.parametrize("suffix", ["yaml", "json", "py"])
def test_a_run_config_names_its_model(tmp_path, suffix):
    data = run_config().to_dict() | {"model": {"catalog": "gpt2", "vocab": 65, "length": 8}}
    path = tmp_path / f"run.{suffix}"
    texts = {"yaml": yaml_text.write(data), "json": json.dumps(data), "py": f"def get_config(): return {data!r}"}
    path.write_text(texts[suffix])
    found = config_files.load_run(path)
    assert found == run_config().replace(model=catalog.model("gpt2", vocab=65, length=8))
    changed = config_files.load_run(path, ["model.stack.repeat=1"])
    assert len(changed.model.stack.layers) == 1


def test_a_file_that_holds_a_name_alone(tmp_path):
    path = tmp_path / "model.yaml"
    path.write_text("catalog: mixtral\nvocab: 300\n")
    assert config_files.load(path) == catalog.model("mixtral", vocab=300)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"catalog": "mixtrel"}, "model.catalog: no architecture 'mixtrel' in the catalogue; did you mean 'mixtral'?"),
        ({"catalog": 3}, "model.catalog: 3 is not a text"),
        ({"catalog": "gpt2", "vocab": "many"}, "model.vocab: 'many' is not an integer"),
        ({"catalog": "gpt2", "lenght": 3}, "model.lenght: unknown beside 'catalog'; did you mean 'length'?"),
        ({"catalog": "gpt2", "length": 0}, "model.catalog: gpt2: length is 0; it must be > 0"),
        (
            {"catalog": "gpt2", "length": 4},
            "data.length: a sequence of 8 tokens is longer than the model's table of 4 positions",
        ),
    ],
)
def test_a_bad_name_is_refused(model, says):
    with pytest.raises(InputError) as found:
        config_files.from_data(run_config().to_dict() | {"model": model})
    assert says in str(found.value)


def test_no_two_types_have_one_name():
    """The later one would stand for both."""
    registered()
    kinds, found = Config.__subclasses__(), set()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        module = sys.modules.get(kind.__module__)
        if kind.__module__.startswith("archlab.") and getattr(module, kind.__name__, None) is kind:
            found.add(kind)
    ours = {kind for kind in found if not kind.__module__.endswith("_test")}
    assert len(ours) > 100
    assert {kind for kind in ours if type_name(kind) != kind.__name__} == set()
