import csv
from dataclasses import replace

import numpy as np
import pytest

from rlvr.advantage_study.log import MethodFiles, read_statistics
from rlvr.advantage_study.methods import Method
from rlvr.advantage_study.problem import REFERENCE_PROBLEM, run_problem
from rlvr.advantage_study.run import run_method
from rlvr.errors import UserError

PROBLEM = replace(REFERENCE_PROBLEM, prompts=5, draws=3, epochs=12)
METHOD = Method("buffer", buffer_size=8, min_count=2, decay=0.9, eps=1e-7)
LAYOUT = {
    "seed": ("int64", (2,)),
    "prompt": ("str", (2, 5)),
    "epoch": ("int64", (12,)),
    "mean": ("float32", (2, 12, 5)),
    "std": ("float32", (2, 12, 5)),
    "count": ("int32", (2, 12, 5)),
}


@pytest.fixture
def files(tmp_path):
    files = MethodFiles.in_folder(tmp_path / "new" / "folder")
    run_method(PROBLEM, METHOD, [4, 9], files)
    return files


def rows(path):
    with open(path, newline="") as table:
        return list(csv.DictReader(table))


def test_tables_have_every_epoch_and_every_seed(files):
    runs = [run_problem(PROBLEM, METHOD, seed) for seed in (4, 9)]
    rewards = rows(files.rewards)
    assert list(rewards[0]) == ["seed", "epoch", "reward"]
    assert [(int(row["seed"]), int(row["epoch"])) for row in rewards] == [
        (seed, epoch) for seed in (4, 9) for epoch in range(1, 13)
    ]
    assert [float(row["reward"]) for row in rewards] == [*runs[0].rewards, *runs[1].rewards]
    assert rows(files.scores) == [{"seed": str(run.seed), "score": repr(run.score)} for run in runs]


def test_statistics_come_back_as_documented(files):
    with np.load(files.statistics, allow_pickle=False) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    layout = {
        name: ("str" if array.dtype.kind == "U" else str(array.dtype), array.shape)
        for name, array in content.items()
    }
    assert layout == LAYOUT
    assert content["seed"].tolist() == [4, 9] and content["epoch"].tolist() == list(range(1, 13))
    for index, seed in enumerate((4, 9)):
        history = run_problem(PROBLEM, METHOD, seed).history
        assert content["prompt"][index].tolist() == history.prompts
        for name in ("mean", "std", "count"):
            np.testing.assert_array_equal(content[name][index], getattr(history, name))
    assert np.isnan(content["mean"][content["count"] == 0]).all() and (content["count"][:, 0] == 0).any()
    read = read_statistics(files.statistics)
    assert set(vars(read)) == set(LAYOUT)
    for name, array in vars(read).items():
        np.testing.assert_array_equal(array, content[name])


def test_the_batch_is_one_prompt_without_a_name(tmp_path):
    files = MethodFiles.in_folder(tmp_path)
    run_method(PROBLEM, replace(METHOD, tracker="batch"), [1], files)
    statistics = read_statistics(files.statistics)
    assert statistics.prompt.tolist() == [[""]] and statistics.mean.shape == (1, 12, 1)
    rewards = [float(row["reward"]) for row in rows(files.rewards)]
    np.testing.assert_allclose(statistics.mean[0, :, 0], rewards, rtol=1e-6)


def test_equal_runs_are_equal_bytes(files, tmp_path):
    again = MethodFiles.in_folder(tmp_path / "again")
    run_method(PROBLEM, METHOD, [4, 9], again)
    for name, path in vars(files).items():
        assert path.read_bytes() == getattr(again, name).read_bytes(), name


def test_a_file_without_an_array_is_named(tmp_path):
    np.savez(tmp_path / "other.npz", mean=[0.0])
    with pytest.raises(UserError, match=r"other\.npz: no array count, epoch, prompt, seed, std; it has mean"):
        read_statistics(tmp_path / "other.npz")
