"""Whole folders as a user meets them: import, export, extend, generate and their errors."""

import json
import os
import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from archlab import hf, reference
from archlab import weights as canonical
from archlab.cli import main
from archlab.config_files import load_model
from archlab.errors import InputError
from archlab.hf.tensors import INDEX, open_folder
from archlab.model_folder import open_model_folder
from archlab.saved import open_saved
from archlab.tokenizers import ByteTokenizer
from parity_tests.hf.case import cases, their_model

pytestmark = pytest.mark.xdist_group("hf-folders")


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A tiny Llama as transformers saves it, with a tokenizer and a generation config."""
    folder = tmp_path_factory.mktemp("llama")
    case = cases("llama")[0]
    module = their_model("llama", case, "LlamaForCausalLM")
    module.generation_config.eos_token_id = [5, 7]
    module.save_pretrained(folder)
    ByteTokenizer().train(["text"]).save(folder / "tokenizer.json")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return folder


def run(capfd, *arguments):
    status = main(list(map(str, arguments)))
    out, err = capfd.readouterr()
    return status, out, err


def changed(folder, tmp_path, **fields):
    """The folder with other fields in its config; None removes one."""
    copy = tmp_path / "changed"
    shutil.copytree(folder, copy)
    data = json.loads((copy / "config.json").read_text())
    data = {k: v for k, v in (data | fields).items() if v is not ...}
    (copy / "config.json").write_text(json.dumps(data))
    return copy


def resaved(folder, tmp_path, change):
    """The folder with other tensors."""
    from safetensors.numpy import load_file, save_file

    copy = tmp_path / "resaved"
    shutil.copytree(folder, copy)
    save_file(change(load_file(copy / "model.safetensors")), str(copy / "model.safetensors"))
    return copy


def test_there_and_back_byte_for_byte(llama, tmp_path, capfd):
    assert run(capfd, "import", llama, tmp_path / "ours", "--json")[0] == 0
    assert run(capfd, "export", tmp_path / "ours", tmp_path / "theirs")[0] == 0
    before, after = open_folder(llama), open_folder(tmp_path / "theirs")
    assert before.entries == after.entries
    for name in before.entries:
        assert before.read(name).tobytes() == after.read(name).tobytes()
    for file in ("config.json", "generation_config.json", "chat_template.jinja", "tokenizer.json"):
        assert json_or_text(llama / file) == json_or_text(tmp_path / "theirs" / file)


def test_what_need_not_be_laid_out_anew_is_copied(llama, tmp_path):
    """Matrices lie as they came, and every reader of ours turns them; a saved file has none of that."""
    from safetensors import safe_open

    hf.import_folder(llama, tmp_path / "ours")
    path, name = tmp_path / "ours" / "weights.safetensors", "stack.layers.0.channel.up.kernel"
    with safe_open(str(path), framework="numpy") as file:
        assert file.get_slice(name).get_shape() == [48, 32]
        assert name in json.loads(file.metadata()["transposed"])
    weights, about = canonical.load(path)
    assert weights[name].shape == (32, 48) and about.keys() == {"spec_hash"}
    theirs = hf.load(llama)[1]
    assert all(np.array_equal(weights[n], theirs[n]) for n in theirs)
    canonical.save(tmp_path / "plain.safetensors", weights, about)
    with safe_open(str(tmp_path / "plain.safetensors"), framework="numpy") as file:
        assert file.get_slice(name).get_shape() == [32, 48]


def test_copies_where_the_kernel_makes_none(llama, tmp_path, monkeypatch):
    hf.import_folder(llama, tmp_path / "one")
    monkeypatch.delattr("os.copy_file_range")
    hf.import_folder(llama, tmp_path / "other")
    assert (tmp_path / "one" / "weights.safetensors").read_bytes() == (
        tmp_path / "other" / "weights.safetensors"
    ).read_bytes()


def json_or_text(file):
    text = file.read_text()
    return json.loads(text) if file.suffix == ".json" else text


def test_shards_and_dtypes(llama, tmp_path):
    def mixed(arrays):
        return {n: a.astype(ml_dtypes.bfloat16 if "mlp" in n else np.float16) for n, a in arrays.items()}

    folder = resaved(llama, tmp_path, mixed)
    model, weights = hf.load(folder)
    assert weights["stack.layers.0.channel.up.kernel"].dtype == ml_dtypes.bfloat16
    hf.export(tmp_path / "shards", model, weights, largest=20_000)
    index = json.loads((tmp_path / "shards" / INDEX).read_text())
    assert len(set(index["weight_map"].values())) > 1
    again = hf.load(tmp_path / "shards")[1]
    assert all(np.array_equal(again[path], weights[path]) for path in weights)
    assert all(again[path].dtype == weights[path].dtype for path in weights)


def test_files_of_pytorch(llama, tmp_path):
    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "bin"
    shutil.copytree(llama, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    ours, theirs = hf.load(folder)[1], hf.load(llama)[1]
    assert all(np.array_equal(ours[path], theirs[path]) for path in theirs)


def test_a_pickle_that_is_no_tensor_is_refused(llama, tmp_path):
    import torch

    folder = tmp_path / "bad"
    shutil.copytree(llama, folder)
    (folder / "model.safetensors").unlink()
    torch.save({"a": Path}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot be read as weights alone"):
        hf.load(folder)


def test_a_folder_is_a_config_and_a_source_of_weights(llama, tmp_path, capfd):
    hf.import_folder(llama, tmp_path / "ours")
    assert load_model(llama) == load_model(tmp_path / "ours") == open_model_folder(tmp_path / "ours").model
    for place in (llama, tmp_path / "ours"):
        saved = open_saved(place)
        assert saved.stop == (5, 7)
        assert np.array_equal(saved.weights()["norm.scale"], hf.load(llama)[1]["norm.scale"])
    assert run(capfd, "describe", tmp_path / "ours")[0] == 0


def test_more_tokens(llama, tmp_path, capfd):
    hf.import_folder(llama, tmp_path / "ours")
    status, out, _ = run(capfd, "extend", tmp_path / "ours", tmp_path / "more", "--vocab", "300", "--token", "<user>")
    assert status == 0 and "61 → 300" in out
    grown = open_saved(tmp_path / "more")
    tokens = np.arange(9)[None]
    before = reference.run(*hf.load(llama), {"tokens": tokens}).output
    after = reference.run(grown.model, grown.weights(), {"tokens": tokens}).output
    assert np.allclose(after[..., :61], before, rtol=0, atol=1e-12)
    assert grown.read_tokenizer().rules.token_to_id("<user>") == 256


def test_a_run_begins_with_what_was_imported(llama, tmp_path):
    from archlab.config import FieldError
    from archlab.config_files import load_run
    from archlab.training.session import first_weights

    base = Path(__file__).parents[2] / "configs" / "base.yaml"
    (tmp_path / "base.yaml").write_text(base.read_text())
    (tmp_path / "tune.yaml").write_text(
        f"base: base.yaml\nmodel: {{folder: {llama}}}\ndata: {{length: 16}}\ntrain: {{start: {llama}}}\n"
    )
    config = load_run(tmp_path / "tune.yaml")
    first = first_weights(config)
    assert np.array_equal(first["norm.scale"], hf.load(llama)[1]["norm.scale"])
    other = config.replace(model=config.model.replace(vocab=62))
    with pytest.raises((InputError, FieldError), match=r"train\.start"):
        first_weights(other)


REFUSED = [
    ({"model_type": "lama"}, "'lama' is not supported; did you mean 'llama'"),
    ({"model_type": "whisperx"}, "supported are"),
    ({"architectures": ["LlamaForTokenClassification"]}, "'LlamaForTokenClassification' is not supported"),
    ({"quantization_config": {"quant_method": "fp8"}}, "the field 'quantization_config'"),
    ({"a_new_thing": 3}, "the field 'a_new_thing' (it is 3) is not understood"),
    ({"hidden_act": "xielu"}, "hidden_act is 'xielu', which archlab has no part for"),
    ({"hidden_size": "32"}, "hidden_size"),
    ({"num_attention_heads": 0}, "num_attention_heads is 0; it must be > 0"),
    ({"rope_parameters": {"rope_type": "spiral", "rope_theta": 1e4}}, "rope_type is 'spiral'"),
    ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}}, "'factor' is missing"),
    ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0, "mood": 1}}, "'mood'"),
    ({"intermediate_size": 40}, "has the shape (48, 32), but by the config it is (40, 32)"),
    ({"num_hidden_layers": 3}, "'model.layers.2.input_layernorm.weight' is missing"),
    ({"num_hidden_layers": 1}, "is not used by a llama of this config"),
    ({"tie_word_embeddings": True}, "'lm_head.weight' differs from 'model.embed_tokens.weight'"),
]


@pytest.mark.parametrize(("fields", "says"), REFUSED, ids=[next(iter(f)) + str(i) for i, (f, _) in enumerate(REFUSED)])
def test_what_is_not_understood_is_one_sentence(llama, tmp_path, capfd, fields, says):
    folder = changed(llama, tmp_path, **fields)
    status, _, err = run(capfd, "import", folder, tmp_path / "ours")
    assert status == 2
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a | {"model.extra.weight": a["model.norm.weight"]}, "'model.extra.weight' is not used"),
        (lambda a: {n: v for n, v in a.items() if n != "model.norm.weight"}, "'model.norm.weight' is missing"),
        (lambda a: a | {"model.norm.weight": a["model.norm.weight"][:-1]}, "has the shape (31,)"),
    ],
)
def test_tensors_that_do_not_fit_are_named(llama, tmp_path, change, says):
    with pytest.raises(InputError) as error:
        hf.load(resaved(llama, tmp_path, change))
    assert says in str(error.value)


def test_files_that_are_not_whole(llama, tmp_path):
    folder = tmp_path / "cut"
    shutil.copytree(llama, folder)
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-100])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        hf.load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="holds no weights"):
        hf.load(folder)
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    with pytest.raises(InputError, match="not beside it"):
        hf.load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        hf.load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"no config\.json"):
        hf.load(folder)


def test_names_that_are_no_folder(capfd, tmp_path):
    for source in ("./nothing", "nobody/nothing"):
        status, _, err = run(capfd, "import", source, tmp_path / "ours")
        assert status == 2
        assert "no such folder" in err or "is no folder here" in err


def test_a_folder_in_use_stays(llama, tmp_path, capfd):
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "mine.txt").write_text("mine")
    status, _, err = run(capfd, "import", llama, tmp_path / "ours")
    assert status == 2 and "is not an empty folder" in err
    assert (tmp_path / "ours" / "mine.txt").read_text() == "mine"


def test_canonical_weights_of_a_model_folder_are_checked(llama, tmp_path):
    hf.import_folder(llama, tmp_path / "ours")
    path = tmp_path / "ours" / "weights.safetensors"
    weights, about = canonical.load(path)
    assert about["spec_hash"] == load_model(llama).hash()
    canonical.save(path, {n: a for n, a in weights.items() if n != "norm.scale"}, about)
    with pytest.raises(InputError, match=r"'norm.scale' is missing"):
        open_saved(tmp_path / "ours")


def test_shards_of_generated_code_and_a_folder_without_a_tokenizer(llama, tmp_path, capfd):
    """A Hugging Face folder can be exported anew, with code; what has no tokenizer can get more rows all the same."""
    bare = tmp_path / "bare"
    shutil.copytree(llama, bare)
    (bare / "tokenizer.json").unlink()
    assert run(capfd, "extend", bare, tmp_path / "more", "--vocab", "70")[0] == 0
    assert open_saved(tmp_path / "more").model.vocab == 70
    assert run(capfd, "export", bare, tmp_path / "code", "--generated", "--no-parity", "--shard-size", "1")[0] == 0
    assert (tmp_path / "code" / "modeling_archlab.py").is_file()
    status, out, _ = run(capfd, "import", bare, tmp_path / "ours")
    assert status == 0 and "holds no tokenizer" in out
    status, _, err = run(capfd, "generate", bare, "--backend", "torch", "--prompt", "a", "--checkpoint", "3")
    assert status == 2 and "leave --checkpoint out" in err
