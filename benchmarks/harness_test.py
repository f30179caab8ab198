import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer

from archlab.bench import rounds


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return importlib.import_module


@pytest.fixture
def shape(load):
    return load("case").Shape(name="S1", layers=2, width=16, heads=2, length=8, batch=2, vocab=11, steps=1)


@pytest.fixture
def tiny(load, shape):
    return lambda style: load("styles").make_case(shape, style, "cpu", 1)


@pytest.fixture
def writing(load, shape):
    return load("styles").make_writing(shape, 3, 5, 12, "cpu", 1)


def test_a_comparison_of_different_things_is_void(load):
    harness, contestant = load("harness"), load("contestant")

    def report(parameters, losses):
        return contestant.Report(parameters=parameters, shown=np.array(losses), versions={})

    ours = report(10, [2.0, 1.5])
    harness.agree({"ours": ours, "theirs": report(10, [2.0 + 1e-5, 1.5 + 1e-4])}, [1e-5, 1e-4])
    wrong = ([2.0 + 1e-4, 1.5], [2.0, 1.5 + 1e-3], [2.0, float("nan")], [2.0])
    for theirs in (report(11, [2.0, 1.5]), *(report(10, losses) for losses in wrong)):
        with pytest.raises(harness.VoidComparisonError, match="theirs"):
            harness.agree({"ours": ours, "theirs": theirs}, [1e-5, 1e-4])
    harness.agree({}, [0.0])


def test_a_speedup_pairs_the_rounds():
    ours = [1.0, 2.0, 4.0, 8.0, 16.0]  # the machine slows down under both
    assert rounds.ratio(ours, [1.5 * s for s in ours]) == rounds.Summary(median=1.5, low=1.5, high=1.5)


@pytest.mark.parametrize("style", ["gpt2", "llama"])
def test_hand_written_nnx_and_transformers_take_the_same_steps(load, tiny, style):
    harness, contestant, case = load("harness"), load("contestant"), tiny(style)
    ours, nnx, hf = load("peers.archlab_trainers"), load("peers.plain_nnx"), load("peers.transformers")
    starts = {"torch": ours.in_torch, "jax": ours.in_jax, "pure": nnx.pure, "lifted": nnx.lifted, "hf": hf.start}
    harness.agree({n: contestant.report(start(case), case) for n, start in starts.items()}, case.tolerance)


def test_hand_written_loops_and_transformers_write_the_same(load, writing):
    harness, contestant = load("harness"), load("contestant")
    ours, hf = load("peers.archlab_writers"), load("peers.transformers")
    starts = {"torch": ours.in_torch, "jax": ours.in_jax, "scan": load("peers.plain_scan").start}
    starts |= {"plain": load("peers.plain_torch").start, "dynamic": hf.dynamic, "static": hf.static}
    reports = {n: contestant.report(start(writing), writing) for n, start in starts.items()}
    harness.agree(reports, writing.tolerance)
    assert reports["jax"].shown.shape == (3, 2 * 12)


def test_what_is_written_depends_on_more_than_the_token_before(load, writing):
    write = load("peers.plain_torch").start(writing).write
    given = load("case").prompts(writing)
    other = np.where(np.arange(writing.prompt) < writing.prompt - 1, (given + 1) % writing.shape.vocab, given)
    assert (write(given)[:, 0] != write(other)[:, 0]).any()


def test_who_computes_something_else_is_not_held_to_what_the_others_show(load, writing):
    harness, writers, report = load("harness"), load("writers").WRITERS, load("report")
    other = replace(writers["plain-torch"], start="peers.plain_torch:start", apart="nothing, in truth")
    entries = {"archlab-torch": writers["archlab-torch"], "other": other}
    reports = {n: load("contestant").Report(parameters=p, shown=np.arange(p), versions={}) for n, p in
               (("archlab-torch", 4), ("other", 4))}  # fmt: skip
    assert load("comparison")._alike(reports, entries) == {"other": 1.0}
    with harness.workers(entries, {}, writing) as (running, found):
        assert (found["other"].shown == found["archlab-torch"].shown).all()
        seconds = harness.interleave(running, 2, 1)
    rows = report.rows([report.Measured(case=writing, seconds=seconds, alike={"other": 1.0})], entries)
    assert report.apart(rows) == ["other computes something else: nothing, in truth; 100.0% of what it shows in "
                                  "S1 batch 3 is what the others show."]  # fmt: skip
    text = report.markdown(rows, [writing], {"hardware": "a machine"}, 0.0, load("decode").TASK)
    assert "# Decoding on a machine" in text and "ms a token" in text and "other computes something else" in text


def test_a_worker_runs_in_a_process_of_its_own_and_tells_its_versions(load, tiny):
    harness, contestants, case = load("harness"), load("contestants"), tiny("gpt2")
    entries = {"archlab-torch": contestants.ENTRIES["archlab-torch"], "litgpt": contestants.ENTRIES["litgpt"]}
    place = contestants.Place(python=sys.executable)
    with harness.workers(entries, {"archlab-torch": place}, case) as (running, reports):
        assert list(reports) == ["archlab-torch"]  # litgpt does not know the style
        assert reports["archlab-torch"].parameters == case.parameters
        assert set(reports["archlab-torch"].versions) == {"torch"}
        seconds = harness.interleave(running, 2, 3)
    assert len(seconds["archlab-torch"]) == 2 and min(seconds["archlab-torch"]) > 0


def test_every_round_has_each_in_another_order(load, monkeypatch):
    harness, said = load("harness"), []

    class Worker:
        def __init__(self, name):
            self.name = name

        def run(self, count):
            said.append(self.name)
            return float(len(said))

    monkeypatch.setattr(rounds, "PAUSE", 0)
    seconds = harness.interleave([Worker(name) for name in "ABCD"], 5, 1)
    turns = [said[i : i + 4] for i in range(0, len(said), 4)]
    assert len(turns) == 6 and all(sorted(one) == list("ABCD") for one in turns)
    assert len({one[0] for one in turns}) > 1
    assert {name: len(found) for name, found in seconds.items()} == dict.fromkeys("ABCD", 5)


def test_a_worker_that_dies_is_named(load, tiny):
    harness, contestants = load("harness"), load("contestants")
    broken = replace(contestants.ENTRIES["archlab-torch"], start="peers.archlab_trainers:nowhere")
    with (
        pytest.raises(harness.VoidComparisonError, match="broken"),
        harness.workers({"broken": broken}, {}, tiny("gpt2")),
    ):
        pass


def test_names_of_hugging_face_cover_every_weight_once(load, tiny):
    names = load("peers.hf_names")
    for style in ("gpt2", "llama"):
        case = tiny(style)
        assert sum(array.size for array in names.hf_weights(case).values()) == case.parameters


def test_reports_compare_with_archlab_on_the_same_framework(load, tiny):
    report = load("report")
    seconds = {"archlab-jax": [1.0, 1.0], "plain-nnx": [2.0, 2.0], "nanogpt": [3.0, 3.0], "archlab-torch": [1.5, 1.5]}
    measured = report.Measured(case=tiny("gpt2"), seconds=seconds, alike={})
    rows = report.rows([measured], load("contestants").ENTRIES)
    faster = {row["contestant"]: row["speedup"] and row["speedup"]["median"] for row in rows}
    assert faster == {"archlab-jax": None, "plain-nnx": 2.0, "nanogpt": 2.0, "archlab-torch": None}
    assert report.means([*rows, *rows]) == [["plain-nnx", "2.00×", "S1, S1"], ["nanogpt", "2.00×", "S1, S1"]]
    text = report.markdown(rows, [tiny("gpt2")], {"hardware": "a machine"}, 0.0, load("train_step").TASK)
    assert "## gpt2" in text and "## llama" not in text and "| nanogpt | 2.00× | S1 |" in text


def test_what_is_left_out_is_said_and_how_to_get_it(load):
    comparison, known = load("comparison"), load("contestants").ENTRIES
    entries, missing = comparison.present(known, "", "cpu", {})
    assert "archlab-jax" in entries and "nanogpt" not in entries
    assert any(line.startswith("nanogpt is left out: git clone") for line in missing)
    entries, missing = comparison.present(known, "", "tpu", {})
    assert {known[name].backend for name in entries} == {"jax"}
    assert any("archlab-torch" in line for line in missing)


def test_what_is_said_of_a_contestant_holds_for_its_variants(load, tmp_path):
    comparison, known = load("comparison"), load("contestants").ENTRIES
    places = comparison.places_of(known, {"levanter": tmp_path}, {"levanter": Path(sys.executable)})
    assert places["levanter"] == places["levanter.kept"] and places["levanter"].checkout == tmp_path
    assert comparison.with_versions({"jax": "1"}, {"a": {"jax": "2", "a": "3"}}) == {
        "jax": "1", "a": "3", "jax of a": "2"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c, known: c.present(known, "nanogpt", "cpu", {}), "git clone"),
        (lambda c, known: c.present(known, "nobody", "cpu", {}), "no contestant 'nobody'"),
        (lambda c, known: c.present(known, "archlab-torch", "tpu", {}), "nothing to time on tpu"),
        (lambda c, known: c.pairs("--peer", ["nanogpt"], known), "NAME=PATH"),
        (lambda c, known: c.pairs("--peer", ["nanogpt=/nowhere/at/all"], known), "nothing at"),
        (lambda c, known: c.places_of(known, {}, {"levanter": Path(__file__)}), "no program"),
        (lambda c, known: c.chosen("style", "gpt3", {"gpt2": ""}), "no style 'gpt3'"),
    ],
)
def test_bad_options_are_told(load, call, words):
    with pytest.raises(typer.BadParameter, match=words):
        call(load("comparison"), load("contestants").ENTRIES)


@pytest.mark.parametrize("given", ["0", "1,x", ""])
def test_numbers_of_prompts_are_numbers(load, given):
    with pytest.raises(typer.BadParameter, match="number of prompts"):
        load("decode")._numbers(given)
