import pytest
from synthetic_study import TASKS, write_base, write_run

from rlvr.analysis.load import load_study
from rlvr.errors import UserError

ZEROS = (0.0,) * len(TASKS)
ONES = (1.0,) * len(TASKS)


def test_order_of_tasks_and_arms(tmp_path):
    base = write_base(tmp_path)
    runs = [write_run(tmp_path, label, ZEROS, ONES) for label in [("zz", 1, 1), ("fp32", 1, 1), ("aa", 1, 1)]]
    study = load_study([base], runs, "rev", "fp32")
    assert study.tasks == ("rev", "add", "sub", "max", "sort", "rot")
    assert study.arms == ("fp32", "aa", "zz")
    assert study == load_study([base], runs[::-1], "rev", "fp32")


def test_only_the_first_repeat_enters_seed_statistics(tmp_path):
    base = write_base(tmp_path)
    runs = [
        write_run(tmp_path, ("fp32", 1, rep), (float(rep),) * len(TASKS), ONES, weight_hash=f"w{rep}")
        for rep in (1, 2)
    ]
    study = load_study([base], runs, "add", "fp32")
    assert study.deltas("fp32", ["add"]).round(9).tolist() == [[1.0]]
    assert len(study.runs) == 2


def test_what_is_missing_is_named(tmp_path):
    base = write_base(tmp_path)
    run = write_run(tmp_path, ("bf16", 1, 1), ZEROS, ONES)
    with pytest.raises(UserError, match="reference arm 'fp32' has no run; arms with runs: bf16"):
        load_study([base], [run], "add", "fp32")
    with pytest.raises(UserError, match="on-task 'gsm8k'"):
        load_study([base], [run], "gsm8k", "bf16")
    with pytest.raises(UserError, match="evaluated twice"):
        load_study([base], [run, run], "add", "bf16")
    short = write_run(tmp_path, ("bf16", 2, 1), ZEROS[:5], ONES[:5], tasks=TASKS[:5], base=(0.5,) * 5)
    with pytest.raises(UserError, match=r"bf16 seed 2 repeat 1 and the base .* rot is missing"):
        load_study([base], [run, short], "add", "bf16")
    with pytest.raises(UserError, match="hold 0 policies"):
        load_study([], [run], "add", "bf16")
