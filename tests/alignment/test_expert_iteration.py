"""Expert iteration arms: what is trained on, outputs, exact resume."""

import pytest
from sent_sigterm import end_by_sigterm
from tiny_arm import die_after_checkpoint, lines, make_common, make_files, make_inputs, table, without_times

from rlvr.alignment import expert_iteration, supervised_arm
from rlvr.alignment.expert_iteration import train_expert_iteration_arm
from rlvr.alignment.job import ExpertIterationJob
from rlvr.alignment.supervised import SeedRun
from rlvr.config.alignment import ExpertIterationSettings
from rlvr.data.problem import read_problems
from rlvr.errors import UserError
from rlvr.files import read_json
from rlvr.models.loading import load_tokenizer
from rlvr.models.weights import read_weights, weight_hash


def train(base, folder, common=None, **replaced):
    settings = {
        "steps": 3,
        "batch_size": 32,
        "rollouts": 6,
        "epochs": 2,
        "sft_batch_size": 8,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-3,
    }
    job = ExpertIterationJob(
        "arm", ExpertIterationSettings(**settings | replaced), make_common(**(common or {}))
    )
    files = make_files(folder)
    train_expert_iteration_arm(job, make_inputs(base, folder), files, 1, "code")
    return files


def hashes(files):
    return [run["weight_hash"] for run in read_json(files.provenance)["runs"]]


@pytest.fixture(scope="module")
def arm(small_base, tmp_path_factory):
    return train(small_base, tmp_path_factory.mktemp("expert_iteration"))


def test_the_outputs_hold_every_seed(arm):
    metrics, validation = table(arm.metrics), table(arm.validation)
    assert [(row["seed"], row["step"]) for row in metrics] == [(s, n) for s in "12" for n in "123"]
    columns = {"sampled", "correct", "updates", "loss", "grad_norm", "entropy_mean", "length_mean", "seconds"}
    assert set(metrics[0]) == {"seed", "step"} | columns
    for row in metrics:
        assert row["sampled"] == "192"
        assert 0 < int(row["correct"]) < 192
        assert int(row["updates"]) == 2 * -(-int(row["correct"]) // 8)  # each epoch's last batch is smaller
        assert 0 < float(row["entropy_mean"]) < 3.2  # the logarithm of 24 tokens
        assert 2 <= float(row["length_mean"]) <= 4
    places = [(row["seed"], row["step"], row["problems"], row["final"]) for row in validation]
    one = [("0", "24", "False"), ("1", "24", "False"), ("2", "24", "False"), ("3", "40", "True")]
    assert places == [(seed, *rest) for seed in "12" for rest in one]
    for run in read_json(arm.provenance)["runs"]:
        rows = [row for row in metrics if int(row["seed"]) == run["seed"]]
        assert run["rollouts"] == 3 * 192
        assert run["updates"] == sum(int(row["updates"]) for row in rows)
        assert run["tokens_trained"] == 2 * 3 * sum(int(row["correct"]) for row in rows)
        assert run["tokens_sampled"] == pytest.approx(sum(192 * float(row["length_mean"]) for row in rows))
        assert run["prompts"]["used"] == 64


def test_only_correct_responses_are_trained_on(small_base, tmp_path, monkeypatch):
    tokenizer, seen = load_tokenizer(small_base / "policy"), []
    update = SeedRun.update

    def watch(run, prompts, responses):
        seen.extend((run.state.step, tuple(p), tuple(r)) for p, r in zip(prompts, responses, strict=True))
        return update(run, prompts, responses)

    monkeypatch.setattr(SeedRun, "update", watch)
    files = train(small_base, tmp_path, common={"seeds": 1})
    truths = {problem.prompt: problem.answer for problem in read_problems(small_base / "train.jsonl")}
    assert {
        tokenizer.decode(r, skip_special_tokens=True) == truths[tokenizer.decode(p)] for _, p, r in seen
    } == {True}
    assert all(r.count(tokenizer.eos_token_id) == 1 == r[-1:].count(tokenizer.eos_token_id) for *_, r in seen)
    for row in table(files.metrics):
        step = [(p, r) for number, p, r in seen if number == int(row["step"]) - 1]
        assert len(step) == 2 * int(row["correct"])
        assert len({p for p, _ in step}) <= 32
        once = step[: len(step) // 2]
        assert sorted(once) == sorted(step[len(step) // 2 :])  # the second epoch


def test_a_response_that_a_stop_string_ends_gets_an_eos(small_base, tmp_path, monkeypatch):
    tokenizer, seen = load_tokenizer(small_base / "policy"), []
    update = SeedRun.update
    monkeypatch.setattr(SeedRun, "update", lambda run, p, r: seen.extend(map(list, r)) or update(run, p, r))
    problems = read_problems(small_base / "train.jsonl")
    stops = sorted({problem.answer for problem in problems})
    generation = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 4, "min_tokens": 0, "max_batch_rows": 64}
    train(small_base, tmp_path, {"seeds": 1, "generation": generation | {"stop": stops}}, steps=1)
    assert seen
    assert {(len(response), response[-1]) for response in seen} == {(3, tokenizer.eos_token_id)}


def test_without_a_correct_response_nothing_is_trained(small_base, tmp_path):
    # The math verifier's box never occurs in these responses.
    prompt = {"template": "plain", "verifier": "question_only"}
    files = train(small_base, tmp_path, common={"seeds": 1, "prompt": prompt}, steps=1)
    (row,) = table(files.metrics)
    assert (row["correct"], row["updates"], row["loss"], row["grad_norm"]) == ("0", "0", "", "")
    assert float(row["entropy_mean"]) > 0
    assert hashes(files) == [weight_hash((n, w.float()) for n, w in read_weights(small_base / "policy"))]


@pytest.mark.parametrize("die_at", [(1, 1), (2, 2)])
def test_an_interrupted_arm_resumes_exactly(small_base, arm, tmp_path, monkeypatch, die_at):
    die_after_checkpoint(monkeypatch, supervised_arm, *die_at, lambda: train(small_base, tmp_path))
    files = train(small_base, tmp_path)
    assert hashes(files) == hashes(arm)
    assert without_times(files.metrics) == without_times(arm.metrics)
    assert without_times(files.validation) == without_times(arm.validation)
    assert lines(files.generations) == lines(arm.generations)


def test_an_arm_that_gets_a_sigterm_resumes_exactly(small_base, arm, tmp_path, monkeypatch):
    end_by_sigterm(monkeypatch, expert_iteration, "draw_rollouts", 2, lambda: train(small_base, tmp_path))
    files = train(small_base, tmp_path)
    assert hashes(files) == hashes(arm)
    assert without_times(files.metrics) == without_times(arm.metrics)


def test_expert_iteration_raises_the_accuracy(small_base, tmp_path):
    files = train(small_base, tmp_path, common={"seeds": 1}, steps=3, batch_size=64, rollouts=4)
    correct = [int(row["correct"]) for row in table(files.metrics)]
    assert correct[-1] > 2 * correct[0] > 0


def test_more_questions_than_there_are_is_an_error(small_base, tmp_path):
    with pytest.raises(UserError, match=r"batch_size is 65, but .*train\.jsonl has 64 questions"):
        train(small_base, tmp_path, batch_size=65)
