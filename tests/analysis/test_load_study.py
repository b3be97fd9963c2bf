import pytest
from synthetic_study import BASE, TASKS, write_base, write_run

from rlvr.analysis.load import load_study
from rlvr.errors import UserError
from rlvr.files import read_json, write_json

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
    with pytest.raises(UserError, match=r"- bf16 seed 2 repeat 1 has no result on rot; evaluate it"):
        load_study([base], [run, short], "add", "bf16")
    more = write_run(
        tmp_path, ("x", 1, 1), (*ZEROS, 0.0), (*ONES, 1.0), tasks=(*TASKS, "new"), base=(0.5,) * 7
    )
    with pytest.raises(UserError, match="the base has no result on new, which x seed 1 repeat 1 has"):
        load_study([base], [run, more], "add", "bf16")
    with pytest.raises(UserError, match="hold 0 policies"):
        load_study([], [run], "add", "bf16")


def test_a_run_from_elsewhere_may_have_its_tasks_in_another_order(tmp_path):
    base = write_base(tmp_path)
    label, gains = ("fp32", 1, 1), dict(zip(TASKS, range(1, 7), strict=True))
    shuffled = TASKS[::-1]
    rates = dict(zip(TASKS, BASE, strict=True))
    run = write_run(
        tmp_path, label, [gains[t] for t in shuffled], ONES, tasks=shuffled, base=[rates[t] for t in shuffled]
    )
    study = load_study([base], [run], "add", "fp32")
    assert study.tasks == TASKS
    assert study.deltas("fp32", TASKS)[0].tolist() == pytest.approx(list(gains.values()))


def test_other_numbers_of_problems_are_refused(tmp_path):
    base, run = write_base(tmp_path), write_run(tmp_path, ("fp32", 1, 1), ZEROS, ONES)
    record = read_json(run)
    record["tasks"][2]["problems"] = 100
    write_json(run, record)
    with pytest.raises(UserError, match="fp32 seed 1 repeat 1 has 100 problems of max, the base 512"):
        load_study([base], [run], "add", "fp32")
