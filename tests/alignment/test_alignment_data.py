import json
from dataclasses import replace

import pytest

from rlvr.alignment.data import AlignmentDataFiles, prepare_alignment_data
from rlvr.config.alignment import AlignmentDataConfig, PairsSource, PromptConfig, TaggedExamples
from rlvr.config.sources import JsonlSource, SyntheticSource
from rlvr.config.verification import VerificationConfig
from rlvr.data.families import family_problems, is_held_out
from rlvr.data.problem import read_problems
from rlvr.data.rows import DataError
from rlvr.files import read_json, read_jsonl, sha256_file
from rlvr.verify.prompted import r1_zero_reward

EMBEDDED = AlignmentDataConfig(
    sft=TaggedExamples("tagged", "add", right=0.7, rows=None, seed=0),
    train=SyntheticSource("synthetic", "add", "train"),
    validation=SyntheticSource("synthetic", "add", "held_out"),
)
PAIRS = PairsSource("pairs", "pairs.jsonl", "id", "question", "response", "answer", "plain", "", ())
LOCAL = AlignmentDataConfig(
    sft=PAIRS, train=JsonlSource("jsonl", "train.jsonl"), validation=JsonlSource("jsonl", "val.jsonl")
)
PAIR = {"id": "p1", "question": "Half of 3?", "response": "1.5</think> <answer>3/2</answer>", "answer": "1.5"}


def prepare(folder, config, verifier="r1_zero"):
    names = {name: str(folder / f"out-{name}.jsonl") for name in ("sft", "train", "validation", "manifest")}
    files = AlignmentDataFiles(**names)
    limits = VerificationConfig(time_limit_s=10.0, memory_mb=1024, require_isolation="any")
    prepare_alignment_data(config, PromptConfig("r1_zero_compact", verifier), limits, folder, files)
    return files


def write(folder, **files):
    for name, rows in files.items():
        text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text)


def question(identity, text, answer="1"):
    return {"id": identity, "question": text, "answer": answer}


def write_local(folder, *pairs):
    write(
        folder,
        pairs=pairs or [PAIR],
        train=[question("a", "1+1?"), question("b", "2 + 2 ?"), question("c", "1 + 1?")],
        val=[question("v", "2+2?"), question("w", "half of $3$", "1.5")],
    )


def test_embedded_data_are_the_family_and_judged_as_the_reward_judges(tmp_path):
    files = prepare(tmp_path, EMBEDDED)
    rows = list(read_jsonl(files.sft))
    assert {tuple(row) for row in rows} == {("id", "prompt", "response", "ground_truth", "correct")}
    train = read_problems(files.train)
    assert {row["id"] for row in rows} == {problem.id for problem in train}
    for row in rows:
        assert row["correct"] == (r1_zero_reward(row["response"], row["ground_truth"])["reward"] == 1.0)
    share = sum(row["correct"] for row in rows) / len(rows)
    assert share == pytest.approx(0.7 + 0.3 * 0.45, abs=0.045)

    validation = read_problems(files.validation)
    expected = [replace(p, task="validation", verifier="r1_zero") for p in family_problems("add", "held_out")]
    assert validation == expected
    assert {problem.verifier for problem in train} == {"r1_zero"}
    assert not any(is_held_out(problem.prompt) for problem in train)


def test_manifest_counts_and_hashes(tmp_path):
    files = prepare(tmp_path, replace(EMBEDDED, sft=replace(EMBEDDED.sft, rows=200)))
    manifest = read_json(files.manifest)
    for name in ("sft", "train", "validation"):
        path = getattr(files, name)
        assert manifest[name]["rows"] == len(list(read_jsonl(path)))
        assert manifest[name]["sha256"] == sha256_file(path)
        assert manifest[name]["overlap_dropped"] == 0
    assert manifest["sft"]["rows"] == 200
    correct = sum(row["correct"] for row in read_jsonl(files.sft))
    assert manifest["sft"]["correct"] == correct == manifest["sft"]["verdicts"]["right"]
    assert manifest["sft"]["verdicts"]["wrong"] == 200 - correct


def test_questions_that_validate_are_dropped_and_counted(tmp_path):
    other = PAIR | {"id": "p2", "question": "Half of 5?", "response": "</think> <answer>2</answer>"}
    write_local(tmp_path, PAIR, other, other | {"id": "p3", "response": "2"})
    files = prepare(tmp_path, LOCAL)
    assert [(row["id"], row["correct"]) for row in read_jsonl(files.sft)] == [("p2", False), ("p3", False)]
    assert [problem.id for problem in read_problems(files.train)] == ["a"]
    manifest = read_json(files.manifest)
    assert manifest["sft"]["verdicts"] == {"wrong": 1, "wrong format": 1}
    assert (manifest["sft"]["rows_read"], manifest["sft"]["overlap_dropped"]) == (3, 1)
    assert (manifest["train"]["duplicates_dropped"], manifest["train"]["overlap_dropped"]) == (1, 1)
    assert manifest["sft"]["source"]["sha256"] == sha256_file(tmp_path / "pairs.jsonl")


def test_known_near_copies_are_left_out_and_counted(tmp_path):
    copy = PAIR | {"id": "p2", "question": "Half of 5?", "overlap": ["w"]}
    fine = PAIR | {"id": "p3", "question": "Half of three?", "overlap": []}
    write_local(tmp_path, copy, fine)
    files = prepare(tmp_path, replace(LOCAL, sft=replace(PAIRS, overlap_field="overlap")))
    assert [row["id"] for row in read_jsonl(files.sft)] == ["p3"]
    facts = read_json(files.manifest)["sft"]
    assert (facts["rows_read"], facts["near_copies_dropped"], facts["rows"]) == (2, 1, 1)


def test_pairs_are_judged_by_value(tmp_path):
    write_local(tmp_path, PAIR | {"question": "Half of three?"})
    (row,) = read_jsonl(prepare(tmp_path, LOCAL).sft)
    assert row == {
        "id": "p1",
        "prompt": "Half of three?",
        "response": PAIR["response"],
        "ground_truth": "1.5",
        "correct": True,
    }


def test_worked_solutions_are_closed_with_the_tags(tmp_path):
    solution = PAIR | {"id": "p2", "question": "q", "response": r"So $\frac{3}{2}$ {x}"}
    write_local(tmp_path, PAIR | {"response": ""}, solution)
    files = prepare(tmp_path, replace(LOCAL, sft=replace(PAIRS, format="r1_zero", excluded_ids=("p1",))))
    (row,) = read_jsonl(files.sft)
    assert row["response"] == r"So $\frac{3}{2}$ {x}</think> <answer>1.5</answer>"
    assert row["correct"]
    facts = read_json(files.manifest)["sft"]
    assert (facts["rows_read"], facts["excluded"], facts["rows"]) == (2, 1, 1)
    with pytest.raises(DataError, match=r"pairs\.jsonl: excluded_ids names rows that are not there: zz"):
        prepare(tmp_path, replace(LOCAL, sft=replace(PAIRS, excluded_ids=("zz", "p1"))))


def test_the_default_prompts_verifier_judges(tmp_path):
    write_local(tmp_path, PAIR | {"question": "q", "response": r"\boxed{1.5}"})
    (row,) = read_jsonl(prepare(tmp_path, LOCAL, "question_only").sft)
    assert row["correct"]


BAD = [
    ('{"id": "x", "question"', "malformed JSON"),
    (PAIR | {"id": "x", "response": " "}, "response is empty"),
    (
        {key: value for key, value in PAIR.items() if key != "answer"} | {"id": "x"},
        "field 'answer' is missing",
    ),
    (PAIR | {"id": "x", "question": ["q"]}, "question must be a string"),
    (PAIR, "id 'p1' is already that of line 1"),
]


@pytest.mark.parametrize(("row", "message"), BAD)
def test_a_bad_pair_is_named_by_file_and_line_and_nothing_is_written(tmp_path, row, message):
    write_local(tmp_path, PAIR, row)
    with pytest.raises(DataError, match=rf"pairs\.jsonl:2: {message}"):
        prepare(tmp_path, LOCAL)
    assert not list(tmp_path.glob("out-*"))


def test_a_set_without_rows_names_its_key(tmp_path):
    write_local(tmp_path)  # the only pair asks a validation question
    with pytest.raises(DataError, match=r"alignment\.data\.sft: no row is left of 1 read, 1 of them"):
        prepare(tmp_path, LOCAL)
    write(tmp_path, pairs=[PAIR | {"question": "q"}], val=[])
    with pytest.raises(DataError, match=r"alignment\.data\.validation: no row is left of 0 read"):
        prepare(tmp_path, LOCAL)
    (tmp_path / "pairs.jsonl").unlink()
    with pytest.raises(DataError, match=r"pairs\.jsonl is missing.*data_root"):
        prepare(tmp_path, replace(EMBEDDED, sft=PAIRS))
