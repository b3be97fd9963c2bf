import hashlib
import json
import os
from pathlib import Path

import pytest

from rlvr.config.data import EvaluationDataConfig, HoldoutConfig, TrainDataConfig
from rlvr.config.sources import HoldoutSource, JsonlSource, SyntheticSource
from rlvr.data.families import FAMILIES
from rlvr.data.prepare import merge_manifests, prepare_evaluation_task, prepare_training_data
from rlvr.data.problem import read_problems
from rlvr.data.rows import DataError
from rlvr.data.templates import apply_template
from rlvr.files import read_json, sha256_file

REPOSITORY = Path(__file__).resolve().parents[2]
BENCHMARKS = Path(os.environ.get("RLVR_BENCHMARKS") or REPOSITORY.parent / "shared" / "benchmarks")
needs_benchmarks = pytest.mark.skipif(
    not (BENCHMARKS / "manifest.json").is_file(),
    reason=f"no benchmark data at {BENCHMARKS} (set RLVR_BENCHMARKS to its folder)",
)


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def jsonl(path, **fields):
    return JsonlSource(kind="jsonl", path=str(path), **fields)


def rows(name, count, start=0):
    return [
        {"id": f"{name}/{i}", "question": f"{name} {i}?", "answer": str(i)}
        for i in range(start, start + count)
    ]


class Study:
    """Prepares data sets below one folder, in the order of the workflow."""

    def __init__(self, folder, data_root):
        self.folder, self.data_root = folder, data_root
        self.problems, self.manifests = {}, {}

    def paths(self, name):
        self.problems[name] = self.folder / f"{name}.jsonl"
        self.manifests[name] = self.folder / f"{name}.manifest.json"
        return self.problems[name], self.manifests[name]

    def evaluation(self, task, source, template="plain", verifier="math", train=None):
        others = list(self.problems.values())
        config = EvaluationDataConfig(source, template, verifier)
        prepare_evaluation_task(task, config, train, self.data_root, others, *self.paths(task))
        return read_problems(self.problems[task]), read_json(self.manifests[task])

    def train(self, config):
        others = list(self.problems.values())
        prepare_training_data(config, self.data_root, others, *self.paths("train"))
        return read_problems(self.problems["train"]), read_json(self.manifests["train"])


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path / "out", tmp_path)


def train_config(*sources, holdout=None, template="plain"):
    return TrainDataConfig("dm", template, "math", sources, holdout)


def test_every_removal_is_counted(study, tmp_path):
    write_rows(tmp_path / "eval.jsonl", rows("eval", 3))
    near = [{**row, "near": []} for row in rows("train", 20)]
    near[3]["near"] = ["eval/9"]
    near += [
        {"id": "copy", "question": "TRAIN 5", "answer": "5", "near": []},
        {"id": "clash", "question": "train 6", "answer": "7", "near": []},
        {"id": "leak", "question": "Eval   2", "answer": "2", "near": []},
        {"id": "broken", "question": "q", "answer": "", "near": []},
    ]
    write_rows(tmp_path / "train.jsonl", near)
    source = jsonl("train.jsonl", overlap_field="near", excluded_ids=("broken",))
    config = train_config(source, holdout=HoldoutConfig("val", 4, 0))
    study.evaluation("eval", jsonl("eval.jsonl"))
    held_out, _ = study.evaluation("val", HoldoutSource("holdout"), train=config)
    train, entry = study.train(config)

    assert len(held_out) == 4 and {p.task for p in held_out} == {"val"}
    ids = {p.id for p in train}
    assert ids | {p.id for p in held_out} == {f"train/{i}" for i in range(20)} - {"train/3", "train/6"}
    assert not ids & {p.id for p in held_out}
    expected = {
        "task": "dm",
        "role": "train",
        "rows_read": 24,
        "near_copies_dropped": 1,
        "excluded": 1,
        "duplicates_dropped": 1,
        "conflicting_answers_dropped": 2,
        "overlap_dropped": {"eval": 1},
        "held_out": 4,
        "rows": 14,
        "template": "plain",
        "verifier": "math",
        "holdout": {"task": "val", "rows": 4, "seed": 0},
    }
    assert {name: entry[name] for name in expected} == expected
    removed = 1 + 1 + 1 + 2 + 1 + 4
    assert entry["rows_read"] == entry["rows"] + removed
    assert entry["sources"][0]["sha256"] == sha256_file(tmp_path / "train.jsonl")
    assert entry["sha256"] == sha256_file(study.problems["train"])


def test_prompts_are_hashed_as_templated(study, tmp_path):
    write_rows(tmp_path / "e.jsonl", [{"id": "a", "question": "ü?", "answer": "1"}, *rows("e", 2)])
    problems, entry = study.evaluation("e", jsonl("e.jsonl"), template="r1_zero")
    prompts = [apply_template("r1_zero", problem) for problem in problems]
    joined = "".join(prompt + "\0" for prompt in prompts).encode()
    assert entry["prompts_sha256"] == hashlib.sha256(joined).hexdigest()
    assert entry["longest_prompt_bytes"] == max(len(prompt.encode()) for prompt in prompts)


def test_holdout_is_seeded_and_hardly_moves_when_rows_join(study, tmp_path):
    def drawn(count, seed):
        write_rows(tmp_path / "train.jsonl", rows("train", count))
        config = train_config(jsonl("train.jsonl"), holdout=HoldoutConfig("val", 20, seed))
        study.problems.clear()
        return {p.id for p in study.evaluation("val", HoldoutSource("holdout"), train=config)[0]}

    assert drawn(100, 0) == drawn(100, 0)
    assert drawn(100, 0) != drawn(100, 1)
    assert len(drawn(100, 0) & drawn(105, 0)) >= 15


def test_holdout_larger_than_the_sources_is_an_error(study, tmp_path):
    write_rows(tmp_path / "train.jsonl", rows("train", 5))
    config = train_config(jsonl("train.jsonl"), holdout=HoldoutConfig("val", 20, 0))
    with pytest.raises(DataError, match=r"hold-out val asks for 20 rows.* 5 left"):
        study.evaluation("val", HoldoutSource("holdout"), train=config)
    with pytest.raises(ValueError, match=r"task other.*holdout"):
        study.evaluation("other", HoldoutSource("holdout"), train=config)


def test_empty_training_set_is_an_error_and_writes_nothing(study, tmp_path):
    write_rows(tmp_path / "same.jsonl", rows("same", 3))
    study.evaluation("same", jsonl("same.jsonl"))
    with pytest.raises(
        DataError, match=r"data.train.sources: no problem is left of 3 rows read \(overlap_dropped 3\)"
    ):
        study.train(train_config(jsonl("same.jsonl")))
    assert not study.problems["train"].exists() and not study.manifests["train"].exists()


def test_an_id_in_two_sources_is_an_error(study, tmp_path):
    write_rows(tmp_path / "one.jsonl", rows("x", 2))
    write_rows(tmp_path / "two.jsonl", rows("x", 2, start=1))
    with pytest.raises(DataError, match=r"'x/1'.*two\.jsonl"):
        study.train(train_config(jsonl("one.jsonl"), jsonl("two.jsonl")))


def test_embedded_families_never_overlap(study):
    for name in FAMILIES:
        study.evaluation(name, SyntheticSource("synthetic", name, "held_out"), verifier="exact")
    sources = [SyntheticSource("synthetic", name, "train") for name in FAMILIES]
    train, entry = study.train(train_config(*sources))
    assert set(entry["overlap_dropped"].values()) == {0}
    assert entry["duplicates_dropped"] == entry["conflicting_answers_dropped"] == 0
    assert len(train) == entry["rows_read"]
    assert "sha256" not in entry["sources"][0]


def test_merged_manifest(study, tmp_path):
    write_rows(tmp_path / "e.jsonl", rows("e", 3))
    write_rows(tmp_path / "t.jsonl", rows("t", 3))
    study.evaluation("e", jsonl("e.jsonl"))
    study.train(train_config(jsonl("t.jsonl")))
    merge_manifests(study.manifests.values(), tmp_path / "manifest.json")
    merged = read_json(tmp_path / "manifest.json")
    assert merged["train"] == read_json(study.manifests["train"])
    assert merged["evaluation"] == {"e": read_json(study.manifests["e"])}


@needs_benchmarks
def test_real_data_is_prepared_whole(tmp_path):
    study = Study(tmp_path, BENCHMARKS)
    counts = {}
    for task, file in [("aime24", 0), ("aime25", 0), ("amc23", 0), ("math500", 0), ("gsm8k", "gsm8k_test")]:
        problems, _ = study.evaluation(task, jsonl(f"{file or task}.jsonl.gz"), "qwen_math_boxed")
        counts[task] = len(problems)
    source = jsonl("mmlu_stem.jsonl.gz", choices_field="choices")
    _, mmlu = study.evaluation("mmlu_stem", source, "choice", "choice")
    source = jsonl(
        "humaneval.jsonl.gz", prompt_field="prompt", tests_field="tests", entry_point_field="entry_point"
    )
    programs, _ = study.evaluation("humaneval", source, "plain", "code")
    assert len(programs) == 164
    assert all(problem.metadata["entry_point"] in problem.prompt for problem in programs)
    assert counts == {"aime24": 30, "aime25": 30, "amc23": 40, "math500": 500, "gsm8k": 1319}
    assert (mmlu["rows_read"], mmlu["duplicates_dropped"], mmlu["rows"]) == (3018, 16, 3002)

    empty_upstream = ("math/train/05341", "math/train/05343")  # `\boxed{}` in the source
    config = train_config(
        jsonl("dapo_math_17k.jsonl.gz", overlap_field="eval_overlap"),
        jsonl("math_train.jsonl.gz", overlap_field="eval_overlap", excluded_ids=empty_upstream),
        holdout=HoldoutConfig("dm_val", 500, 0),
        template="qwen_math_boxed",
    )
    held_out, _ = study.evaluation("dm_val", HoldoutSource("holdout"), "qwen_math_boxed", train=config)
    train, entry = study.train(config)
    assert len(held_out) == 500 and entry["held_out"] == 500
    assert entry["rows_read"] == 17_176 + 7_500
    # Questions of MATH's training set that MMLU's test set repeats: the flags in the data do not know them.
    assert entry["overlap_dropped"]["mmlu_stem"] > 50
    removed = sum(entry[f"{kind}_dropped"] for kind in ("near_copies", "duplicates", "conflicting_answers"))
    assert len(train) == 24_676 - removed - 2 - 500 - sum(entry["overlap_dropped"].values())
