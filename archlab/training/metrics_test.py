import dataclasses

import pytest

from archlab.errors import InputError
from archlab.training.metrics import COLUMNS, MetricsFile, Row, read


def row(step, split="train", loss=0.1 + 0.2):
    extra = {"lr": 1e-3, "grad_norm": 1.0, "tokens_per_second": 3.0}
    if split == "val":
        extra = dict.fromkeys(extra)
    return Row(step=step, split=split, loss=loss, tokens=7 * step, seconds=0.5, **extra)


def test_rows_come_back_exactly(tmp_path):
    rows = [row(1), row(1, "val", 1e-17), row(2)]
    with MetricsFile(tmp_path / "m.csv", keep_until=0) as file:
        for r in rows:
            file.write(r)
            assert read(tmp_path / "m.csv")[-1] == r  # on disk at once
    assert read(tmp_path / "m.csv") == rows


def test_going_on_drops_later_rows_and_a_line_that_was_cut_off(tmp_path):
    path = tmp_path / "m.csv"
    with MetricsFile(path, keep_until=0) as file:
        for step in (1, 2, 3, 4):
            file.write(row(step))
    path.write_text(path.read_text() + "5,train,0.")
    with MetricsFile(path, keep_until=3) as file:
        file.write(row(4, "val"))
    assert [(r.step, r.split) for r in read(path)] == [(1, "train"), (2, "train"), (3, "train"), (4, "val")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "not a metrics file"),
        ("", "not a metrics file"),
        ("step,split,loss,lr,grad_norm,tokens,seconds,tokens_per_second\n1,test,1,1,1,1,1,1\n", "line 2"),
        ("step,split,loss,lr,grad_norm,tokens,seconds,tokens_per_second\n1,val\n", "line 2"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no metrics file"):
        read(tmp_path / "m.csv")


def test_what_is_noted_has_columns_of_its_own(tmp_path):
    """They begin when something is noted first, and stay where a run is cut and goes on."""
    path = tmp_path / "metrics.csv"
    first, bare = row(0, "val"), row(3)
    noted = dataclasses.replace(row(1), noted={"balance": 0.5, "z, squared": 2.0})
    other = dataclasses.replace(row(2), noted={"balance": 0.25})
    with MetricsFile(path, keep_until=0) as file:
        file.write(first)
        assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
        for each in (noted, other, bare):
            file.write(each)
    assert read(path) == [first, noted, other, bare]
    with MetricsFile(path, keep_until=1) as file:
        file.write(other)
    assert read(path) == [first, noted, other]
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS) + ',balance,"z, squared"'
