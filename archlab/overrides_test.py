import json

import pytest

from archlab.activations import SiLU
from archlab.config import FieldError
from archlab.errors import InputError
from archlab.inits import Zeros
from archlab.model import tiny_model
from archlab.norms import LayerNorm
from archlab.overrides import override
from archlab.policy import Mesh, Policy


def _heads(model):
    return model.stack.pattern[0].mixer.heads


@pytest.mark.parametrize("path", ["stack.pattern[0].mixer.heads", "stack.pattern.0.mixer.heads"])
def test_both_ways_to_name_a_list_entry(path):
    assert _heads(override(tiny_model(), [f"{path}=8"])) == 8


def test_the_config_itself_is_untouched_and_no_change_is_the_same_config():
    model = tiny_model()
    override(model, ["stack.repeat=5"])
    assert model == tiny_model()
    assert override(model, []) is model


@pytest.mark.parametrize(("text", "value"), [("1e-3", 1e-3), ("2", 2.0), ("1.5E+2", 150.0), ("null", None)])
def test_values_are_read_and_checked_by_the_field(text, value):
    assert override(tiny_model(), [f"softcap={text}"]).softcap == value


def test_changes_are_applied_in_order_and_checked_only_at_the_end():
    changes = ["stack.pattern[0].mixer.heads=6", "width=12", "width=24"]
    model = override(tiny_model(), changes)
    assert (model.width, _heads(model)) == (24, 6)


def test_true_lists_and_mappings():
    assert override(Policy(), ["compile=true", "mesh.data=2", "mesh={fsdp: 4}"]) == Policy(
        compile=True, mesh=Mesh(fsdp=4)
    )
    layer = tiny_model().stack.pattern[0]
    assert override(tiny_model(), [f"stack.tail=[{json.dumps(layer.to_dict())}]"]).stack.tail == (layer,)


def test_a_part_is_replaced_whole_or_by_its_type():
    wanted = LayerNorm(epsilon=1e-3, bias=True)
    whole = override(tiny_model(), ["norm={type: LayerNorm, epsilon: 1e-3, bias: true}"])
    stepwise = override(tiny_model(), ["norm.type=LayerNorm", "norm.epsilon=1e-3", "norm.bias=true"])
    assert whole.norm == stepwise.norm == wanted  # nothing of the RMSNorm stays, its cast neither


def test_the_same_type_again_changes_nothing():
    assert override(tiny_model(), ["norm.type=RMSNorm"]) == tiny_model()


def test_a_bare_text_is_a_type_and_can_be_gone_into():
    model = override(tiny_model(), ["stack.pattern[0].channel.activation=SiLU"])
    assert model.stack.pattern[0].channel.activation == SiLU()
    model = override(tiny_model(), ["head={bias: false, init: FanInNormal}", "head.init.type=Zeros"])
    assert model.head.init == Zeros()


@pytest.mark.parametrize(
    ("change", "path", "says"),
    [
        ("stack.pattern[0].mixer.heds=8", "stack.pattern[0].mixer.heds", "did you mean 'heads'"),
        ("stack.patern[0].mixer.heads=8", "stack.patern", "did you mean 'pattern'"),
        ("stack.pattern[0].mixer.heads=3", "heads", "does not divide"),
        ("stack.pattern[0].channel.hidden=big", "stack.pattern[0].channel.hidden", "'big' is not an integer"),
        ("stack.pattern[0].channel.activation=SiLu", "stack.pattern[0].channel.activation.type", "did you mean 'SiLU'"),
        ("stack.pattern[3].mixer.heads=3", "stack.pattern[3]", "has 1 entries"),
        ("stack.pattern.first.mixer=3", "stack.pattern.first", "is a list"),
        ("stack[0]=1", "stack[0]", "is no list"),
        ("vocab.size=3", "vocab.size", "19 and has no fields"),
        ("head.bias=true", "head.bias", "head={…}"),
        ("norm.type=LayerNorm", "norm.epsilon", "required and is missing"),
        ("norm.epsilon='1e-3'", "norm.epsilon", "without quotes"),
        ("vocab=true", "vocab", "is not an integer"),
        ("type=GLU", "type", "'GLU' is not a Model; allowed: DualEncoder, EarlyExitModel"),
    ],
)
def test_a_bad_change_names_its_place(change, path, says):
    with pytest.raises(FieldError) as caught:
        override(tiny_model(), [change])
    assert path in caught.value.path
    assert says in str(caught.value)


@pytest.mark.parametrize("change", ["heads", "=3", "stack..repeat=3", "stack.pattern[0]repeat=3", "a b=1"])
def test_a_text_that_is_no_change(change):
    with pytest.raises(InputError, match="write path=value"):
        override(tiny_model(), [change])


def test_a_missing_or_unreadable_value():
    with pytest.raises(InputError, match="write null for none"):
        override(tiny_model(), ["softcap="])
    with pytest.raises(InputError, match="line 1, column"):
        override(tiny_model(), ["stack.tail=[1"])
