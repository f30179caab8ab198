"""``archlab parity --changed``: which mechanisms a change touches, and what is run for them."""

import subprocess

import pytest

from archlab.cli import main
from archlab.errors import InputError
from archlab.model import Model
from archlab.parity import changed, running
from archlab.parity.bench import Bench, Row
from archlab.parity.cases import registered_cases
from archlab.parity.changed import Touched
from archlab.parity.laws import LAWS
from archlab.parity.mechanisms import ROOT
from archlab.spec import Layer, Map

TREE = {
    "archlab/__init__.py": "from archlab.a import A",
    "archlab/base.py": "",
    "archlab/kit/__init__.py": "VALUE = 1",
    "archlab/kit/tool.py": "import archlab.base",
    "archlab/a.py": "from archlab import base\nfrom archlab.kit import tool\ndef f():\n    import archlab.b",
    "archlab/b.py": "import numpy\nfrom archlab.base import X\nfrom archlab.kit import VALUE",
    "archlab/c.py": "if True:\n    from archlab.a import A\nimport archlab.base",
    "archlab/run.py": "import archlab.runtime, archlab.a",
    "archlab/runtime.py": "",
    "archlab_jax/module.py": "import archlab.base",
    "archlab_jax/a.py": "from archlab_jax import kernels, module\nfrom archlab_jax.kernels.fast import f",
    "archlab_jax/b.py": "from archlab_jax.module import M",
    "archlab_jax/backend.py": "import archlab_jax.kernels.fast, archlab_jax.module",
    "archlab_jax/kernels/fast.py": "",
    "archlab_jax/kernels/__init__.py": "",
}
ROOTS = {
    "A": {"archlab": "archlab/a.py", "archlab_jax": "archlab_jax/a.py"},
    "B": {"archlab": "archlab/b.py", "archlab_jax": "archlab_jax/b.py"},
    "C": {"archlab": "archlab/c.py"},
}


@pytest.fixture
def tree(tmp_path):
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_graph_of_imports(tree):
    graph = changed.import_graph(tree)
    assert graph.keys() == TREE.keys()
    assert graph["archlab/a.py"] == {"archlab/base.py", "archlab/kit/tool.py"}
    assert graph["archlab/b.py"] == {"archlab/base.py", "archlab/kit/__init__.py"}
    assert graph["archlab/c.py"] == {"archlab/a.py", "archlab/base.py"}
    assert changed.closure({"a": {"b"}, "b": {"a", "c"}}, ["a"]) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("archlab/a.py", Touched(mechanisms=("A", "C"))),
        ("archlab/b.py", Touched(mechanisms=("B",))),
        ("archlab/kit/tool.py", Touched(mechanisms=("A", "C"))),
        ("archlab_jax/kernels/fast.py", Touched(mechanisms=("A",))),
        ("archlab/base.py", Touched(spine=("archlab/base.py",))),  # every definition imports it
        ("archlab_jax/module.py", Touched(spine=("archlab_jax/module.py",))),  # every native form does
        ("archlab/runtime.py", Touched(spine=("archlab/runtime.py",))),  # runs them
        ("archlab/__init__.py", Touched()),
        ("README.md", Touched()),
    ],
)
def test_what_a_change_touches(tree, file, expected):
    runners = {"archlab/run.py", "archlab_jax/backend.py"}
    assert changed.touched([file, "docs/other.md"], changed.import_graph(tree), ROOTS, runners) == expected


def touched(*files):
    return changed.touched(files, changed.import_graph(ROOT), changed.own_files(), set(changed.RUNNERS))


@pytest.mark.parametrize(
    ("package", "mechanisms"),
    [
        ("archlab", ("Attention", "CrossAttention", "LatentAttention")),
        ("archlab_jax", ("Attention", "LatentAttention")),
        ("archlab_torch", ("Attention", "LatentAttention")),
    ],
)
def test_attention_is_not_linear(package, mechanisms):
    """Latent attention has attention's cache, and cross attention its layout."""
    assert touched(f"{package}/mixers/attention.py").mechanisms == mechanisms
    assert {"Attention", "Linear"} <= set(touched(f"{package}/layers.py").mechanisms)


@pytest.mark.parametrize(
    "file",
    ["archlab/spec.py", "archlab/reference.py", "archlab/context.py", "archlab/parity/laws.py", "archlab_jax/module.py",
     "archlab_jax/runtime.py", "archlab_torch/program.py"],
)  # fmt: skip
def test_the_spine(file):
    found = touched(file, "archlab/mixers/attention.py")
    assert found.spine == (file,)
    cases = [case for case, laws in found.jobs() if list(laws) == list(LAWS)]
    assert [isinstance(case.example.spec, kind) for case, kind in zip(cases, (Map, Layer, Model), strict=True)] == [
        True
    ] * 3


def test_the_smallest_example_has_to_do_for_slow_laws():
    jobs = Touched(mechanisms=("Attention", "GLU")).jobs()
    whole = [case.name for case, laws in jobs if set(changed.SLOW) <= set(laws)]
    assert [name.partition("-")[0] for name in whole] == ["Attention", "GLU"]
    assert "Attention-0" not in whole  # the long one
    assert {case.spec_name for case, _ in jobs} == {"Attention", "GLU"}
    assert all(set(LAWS) - set(laws) <= set(changed.SLOW) for _, laws in jobs)


def test_files_of_the_real_tree_are_there():
    graph = changed.import_graph(ROOT)
    assert set(changed.RUNNERS) <= graph.keys()
    assert {file for own in changed.own_files().values() for file in own.values()} <= graph.keys()
    assert touched("archlab/cli/parity.py", "README.md") == Touched()


def test_git_says_what_changed(tree):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(tree), *who, *words], check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    (tree / "archlab" / "b.py").write_text("", encoding="utf-8")
    (tree / "archlab" / "new file.py").write_text("", encoding="utf-8")
    (tree / ".gitignore").write_text("ignored.py\n", encoding="utf-8")
    (tree / "ignored.py").write_text("", encoding="utf-8")
    git("rm", "archlab/c.py")
    assert changed.changed_files(tree, "HEAD") == [".gitignore", "archlab/b.py", "archlab/c.py", "archlab/new file.py"]
    assert changed.changed_files(tree / "archlab", "HEAD") == ["b.py", "c.py", "new file.py"]
    git("add", ".")
    git("commit", "-m", "second")
    assert changed.changed_files(tree, "HEAD") == []
    assert "archlab/b.py" in changed.changed_files(tree, "HEAD~1")
    with pytest.raises(InputError, match="--base nowhere: git cannot compare"):
        changed.changed_files(tree, "nowhere")


# --- the command --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing says what to compare; give one of CONFIG, --all, --changed"),
        (["--all", "--changed"], "--all and --changed exclude each other"),
        (["config.yaml", "--all"], "CONFIG and --all exclude each other"),
        (["config.yaml", "--changed"], "CONFIG and --changed exclude each other"),
        (["--changed", "--out", "docs"], "--out belongs to archlab parity --all"),
        (["--all", "--base", "HEAD"], "--base belongs to archlab parity --changed"),
        (["--all", "--seed", "0"], "--seed belongs to archlab parity CONFIG"),
    ],
)
def test_what_excludes_each_other_is_said(arguments, words, capsys):
    assert main(["parity", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_nothing_touched_is_no_failure(monkeypatch, capsys):
    monkeypatch.setattr(changed, "changed_files", lambda root, base: ["README.md"])
    assert main(["parity", "--changed", "--base", "HEAD"]) == 0
    assert "no mechanism depends on what differs from HEAD" in capsys.readouterr().out


def test_the_verdict_is_that_of_the_worst_row(monkeypatch, capsys):
    def rows_by_case(jobs):
        for error, (case, _) in zip((0.0, 0.5, 2.0), jobs, strict=True):
            yield case, [Row(spec=case.name, item="forward", backend="jax", dtype="float64", error=error, limit=limit)]

    monkeypatch.setattr(changed, "changed_files", lambda root, base: ["archlab/spec.py"])
    monkeypatch.setattr(running, "rows_by_case", rows_by_case)
    limit = 1.0
    assert main(["parity", "--changed"]) == 1
    printed = capsys.readouterr()
    assert "everything depends on archlab/spec.py" in printed.out
    assert "`make test`" in printed.out
    lines = [line for line in printed.out.splitlines() if "forward" in line]
    assert [line.split()[4:6] for line in lines] == [["2.0e+00", "2"], ["5.0e-01", "0.5"], ["0.0e+00", "0"]]
    assert "1 of 3 comparisons exceed their limits" in printed.err
    limit = 2.0
    assert main(["parity", "--changed"]) == 0


def test_cases_run_on_workers():
    cases = [case for case in registered_cases() if case.name == "RMSNorm-0"]
    ((case, rows),) = running.rows_by_case([(cases[0], ("forward", "sharded"))])
    assert case == cases[0]
    assert {(row.item, row.backend) for row in rows} == {("forward", "jax"), ("forward", "torch"), ("sharded", "jax")}
    assert all(row.passed for row in rows)


def test_a_law_that_raises_an_error_does_not_hold(monkeypatch):
    bench = Bench(registered_cases()[0])
    monkeypatch.setattr(bench, "truth", lambda *args: {}["gone"])
    (row,) = running.tried(bench, "forward", "torch", ())
    assert not row.passed
    assert "KeyError: 'gone'" in row.where
