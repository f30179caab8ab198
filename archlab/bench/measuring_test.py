"""The whole measurement with a backend in NumPy, in processes of their own."""

import json
import os

import pytest

from archlab import config_files
from archlab.bench import measuring, report, rounds
from archlab.bench.categories import category, shares
from archlab.bench.contestant import Contestant
from archlab.bench.measuring import Plan, measure
from archlab.bench.rounds import ratio, summary
from archlab.bench.subject import Subject
from archlab.bench.workers import Worker, WorkerFailed, is_out_of_memory
from archlab.errors import InputError
from archlab.testing.bigram import BigramBackend, bigram_run

HERE = "archlab.bench.measuring_test"


def fake(subject):
    return Contestant(subject, BigramBackend())  # type: ignore[arg-type]


def full(subject):
    """One that has memory for its first steps only."""

    def profile(count, folder):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 byte.\nmore")

    contestant = fake(subject)
    contestant.profile = profile
    return contestant


class Odd:
    """What a process holds here."""

    def __init__(self, argument):
        self.argument = argument

    def cores(self):
        return os.environ["OMP_NUM_THREADS"], len(os.sched_getaffinity(0)), self.argument

    def refuse(self):
        raise InputError("no such thing")

    def fail(self):
        raise ZeroDivisionError("bug")

    def die(self, status):
        os._exit(status)


@pytest.fixture
def subject(tmp_path):
    config_files.save(bigram_run("some.txt"), tmp_path / "run.json")
    path = str(tmp_path / "run.json")
    return Subject(name="run, fake", config=path, overrides=(), backend="fake", length=None, batch=2)


def plan(**fields):
    defaults = {
        "rounds": 2, "steps": 3, "convention": "causal", "peak_tflops": None, "decode": False, "trace": None,
        "threads": 1, "apart": False,
    }  # fmt: skip
    return Plan(**(defaults | fields))


def test_two_subjects_from_the_first_step_to_the_report(subject, tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "START", f"{HERE}:fake")
    other = Subject(**(vars(subject) | {"name": "other, fake", "overrides": ("model.width=16",)}))
    told = []
    found = measure([subject, other], plan(decode=True, trace=tmp_path / "traces", peak_tflops=1e-3), told.append)
    first, second = found
    assert (len(first.rounds), first.tokens, first.seconds.median > 0) == (2, 32, True)
    assert first.mfu == pytest.approx(first.flops / 1e9)
    assert second.flops_per_token["6n"] > first.flops_per_token["6n"]
    assert first.begun.cache is None and first.memory["process_peak"] > 0
    assert list(first.decoded) == [1, 2] and len(first.decoded[2]) == 2
    assert first.bound(2) == pytest.approx(2e9 / 1200, rel=0.99)
    assert {path.name for path in (tmp_path / "traces").iterdir()} == {"run-fake", "other-fake"}
    assert told[0] == "run, fake: the first steps"

    facts = report.environment(found, load=0.5)
    page = report.markdown(found, facts, "archlab bench run.json")
    assert "| run, fake | 2 | " in page and "speed, times run, fake" in page and "no MFU" not in page
    data = json.loads(json.dumps(report.as_data(found, facts)))
    assert data["measured"][1]["speed_times_the_first"]["median"] > 0
    assert sum(data["measured"][0]["profile"]["kinds"].values()) == pytest.approx(1)


def test_nobody_always_follows_the_same_other(subject, monkeypatch):
    class Asked:
        """Says who is asked what."""

        def __init__(self, start, subject, *rest):
            self.name, self.worker = subject.name, Worker(start, subject, *rest)

        def __enter__(self):
            self.worker.__enter__()
            return self

        def __exit__(self, *error):
            self.worker.__exit__(*error)

        def ask(self, method, *arguments):
            asked.setdefault(method, []).append(self.name)
            return self.worker.ask(method, *arguments)

    asked = {}
    monkeypatch.setattr(measuring, "START", f"{HERE}:fake")
    monkeypatch.setattr(measuring, "Worker", Asked)
    monkeypatch.setattr(rounds, "PAUSE", 0)
    other = Subject(**(vars(subject) | {"name": "other, fake"}))
    found = measure([subject, other], plan(rounds=4, decode=True))
    assert [len(measured.rounds) for measured in found] == [4, 4]
    for method, count in (("steps", 5), ("decode", 10)):
        turns = list(zip(asked[method][::2], asked[method][1::2], strict=True))
        assert len(turns) == count and {tuple(sorted(turn)) for turn in turns} == {("other, fake", "run, fake")}
        assert len(set(turns)) == 2


def test_without_a_known_peak_a_line_says_so(subject, monkeypatch):
    monkeypatch.setattr(measuring, "START", f"{HERE}:fake")
    found = measure([subject], plan(apart=True))
    assert found[0].mfu is None
    assert "no MFU: no peak is known of 'cpu'" in report.markdown(found, report.environment(found, 0.0), "")


def test_where_memory_runs_out_one_sentence_says_what_to_lower(subject, monkeypatch):
    monkeypatch.setattr(measuring, "START", f"{HERE}:full")
    with pytest.raises(InputError, match=r"run, fake: no memory for 2 × 16 tokens .* estimated at .*: lower --batch"):
        measure([subject], plan())


def test_a_process_does_what_it_is_told():
    with Worker(f"{HERE}:Odd", 7, {"OMP_NUM_THREADS": "1"}, cores=1) as worker:
        assert worker.ask("cores") == ("1", 1, 7)
        with pytest.raises(InputError, match="no such thing"):
            worker.ask("refuse")
        with pytest.raises(WorkerFailed, match="ZeroDivisionError: bug"):
            worker.ask("fail")
        with pytest.raises(WorkerFailed, match="exit code 3"):
            worker.ask("die", 3)


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("shapes do not fit"), False),
    ],
)
def test_errors_of_memory_are_known(error, is_it):
    assert is_out_of_memory(error) == is_it


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::mm", "matrix products"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32", "matrix products"),
        ("void cutlass::Kernel2", "matrix products"),
        ("dot_add_fusion", "matrix products"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("pytorch_flash::flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel", "attention"),
        ("aten::_fused_adamw_", "optimizer"),
        ("aten::_log_softmax", "softmax, loss"),
        ("aten::_fused_rms_norm", "norms"),
        ("ncclDevKernel_AllReduce_Sum", "communication"),
        ("aten::copy_", "memory"),
        ("aten::silu_backward", "elementwise"),
        ("multiply_add_fusion", "elementwise"),
        ("something", "other"),
    ],
)
def test_kinds_are_told_by_names(name, kind):
    assert category(name) == kind


def test_shares_of_nothing_are_none():
    assert shares([]) == {}


def test_figures_are_medians_and_quartiles():
    found = summary([4.0, 1.0, 2.0, 3.0, 5.0])
    assert (found.low, found.median, found.high) == (2.0, 3.0, 4.0)
    assert ratio([1.0, 2.0], [3.0, 6.0]).median == 3.0
