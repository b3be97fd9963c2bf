"""The zero-shot evaluation: tables, categories, failures."""

import pytest
from tiny_arm import lines, make_common, make_inputs, table

from rlvr.alignment.zero_shot import (
    EXAMPLES,
    ZeroShotFiles,
    ZeroShotJob,
    categorise,
    evaluate_zero_shot,
    failures,
)
from rlvr.data.problem import Problem
from rlvr.verify.verdict import Response, Verdict

RIGHT = Verdict(1.0, True, "5", "right", "answer_tag")
WRONG = Verdict(0.0, True, "6", "wrong", "answer_tag")
UNFORMATTED = Verdict(0.0, False, "", "wrong format")


def evaluate(base, folder, verifier="exact"):
    inputs = make_inputs(base, folder)
    names = ("validation.csv", "generations.jsonl.gz", "categories.csv", "failures.jsonl")
    files = ZeroShotFiles(*(str(folder / name) for name in names))
    common = make_common(prompt={"template": "plain", "verifier": verifier})
    evaluate_zero_shot(ZeroShotJob("p", common), inputs.base, inputs.validation, files)
    return files


def test_the_tables_agree(small_base, tmp_path):
    files = evaluate(small_base, tmp_path)
    (row,) = table(files.validation)
    assert (row["seed"], row["step"], row["problems"]) == ("0", "0", "40")
    assert (row["final"], row["diverged"], row["reason"]) == ("True", "False", "")
    generations, categories = lines(files.generations), table(files.categories)
    assert len(generations) == 40 == sum(int(category["count"]) for category in categories)
    shares = {(c["format_reward"], c["answer_reward"]): float(c["share"]) for c in categories}
    assert shares["1.0", "1.0"] == float(row["accuracy"]) == sum(g["reward"] for g in generations) / 40
    assert shares["1.0", "0.0"] == float(row["well_formed_wrong"])
    assert shares["0.0", "0.0"] == float(row["unformatted"])
    assert all(generation["entropy"] > 0 for generation in generations)
    wrong = [f for f in lines(files.failures) if f["kind"] == "well_formed_wrong"]
    assert len(wrong) == min(EXAMPLES, int(categories[1]["count"])) > 0
    assert all(f["extracted"] == f["response"] != f["ground_truth"] and f["reason"] == "wrong" for f in wrong)
    assert all(f["prompt"].startswith("m:") for f in wrong)


def test_the_verifier_is_that_of_the_prompt(small_base, tmp_path):
    files = evaluate(small_base, tmp_path, verifier="r1_zero")
    assert [row["count"] for row in table(files.categories)] == ["0", "0", "40"]
    assert {f["reason"] for f in lines(files.failures)} == {"wrong format"}


def test_all_three_categories_are_always_there():
    assert categorise([RIGHT, RIGHT, UNFORMATTED, RIGHT]) == [
        {"format_reward": 1.0, "answer_reward": 1.0, "count": 3, "share": 0.75},
        {"format_reward": 1.0, "answer_reward": 0.0, "count": 0, "share": 0.0},
        {"format_reward": 0.0, "answer_reward": 0.0, "count": 1, "share": 0.25},
    ]
    with pytest.raises(ValueError, match="no such category"):
        categorise([Verdict(1.0, False, "5", "right")])


def test_failures_are_the_first_ten_of_each_kind():
    finished, cut = Response("text", True, "r1_zero"), Response("te", False, "r1_zero")
    kinds = [(finished, RIGHT), (finished, WRONG), (finished, UNFORMATTED), (cut, UNFORMATTED), (cut, RIGHT)]
    judged = [
        (response, Problem(f"{number}-{kind}", "t", f"{number}?", "5", "r1_zero"), verdict)
        for number in range(12)
        for kind, (response, verdict) in enumerate(kinds)
    ]
    records = failures(judged)
    of = {kind: [r for r in records if r["kind"] == kind] for kind in {r["kind"] for r in records}}
    assert [r["id"] for r in of["well_formed_wrong"]] == [f"{number}-1" for number in range(10)]
    assert [r["id"] for r in of["unformatted"]] == [f"{n}-{kind}" for n in range(5) for kind in (2, 3)]
    assert [r["id"] for r in of["truncated"]] == [f"{number}-3" for number in range(10)]
    first = of["well_formed_wrong"][0]
    assert first["prompt"].endswith("User: 0?\nAssistant: <think>")
    expected = {"response": "text", "ground_truth": "5", "extracted": "6", "rule": "answer_tag"}
    assert expected.items() <= first.items()
    assert (first["finished"], first["reason"]) == (True, "wrong")
