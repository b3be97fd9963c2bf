import json

import pytest

from rlvr.advantage_study.estimators import EstimatorDataFiles, grpo_settings, prepare_estimator_data
from rlvr.alignment.grpo import grpo_config
from rlvr.config.advantage import EstimatorDataConfig, EstimatorSettings
from rlvr.config.alignment import OptimizationConfig
from rlvr.config.build import build
from rlvr.config.load import validate_config
from rlvr.config.precision import SamplingConfig
from rlvr.data.problem import read_problems
from rlvr.data.rows import DataError

STUDY = validate_config({})["advantage"]["grpo"]


def prepare(folder, **changes):
    config = build(EstimatorDataConfig, {**STUDY["data"], **changes})
    files = EstimatorDataFiles(*(str(folder / name) for name in ("train.jsonl", "val.jsonl", "m.json")))
    prepare_estimator_data(config, "exact", "", files)
    return (
        read_problems(files.train),
        read_problems(files.validation),
        json.loads((folder / "m.json").read_text()),
    )


def test_as_many_questions_as_asked_for_and_none_of_them_validates(tmp_path):
    train, validation, manifest = prepare(tmp_path)
    assert len(train) == len({problem.id for problem in train}) == STUDY["data"]["questions"]
    assert not {problem.prompt for problem in train} & {problem.prompt for problem in validation}
    assert manifest["train"]["rows"] == len(train)
    assert {problem.verifier for problem in train + validation} == {"exact"}


def test_the_choice_depends_on_its_seed_alone(tmp_path):
    first, again, other = ([problem.id for problem in prepare(tmp_path, seed=seed)[0]] for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_questions_that_validate_are_left_out(tmp_path):
    same = {"kind": "synthetic", "family": "sort", "split": "held_out"}
    with pytest.raises(DataError, match=r"questions is 32, but the source has 0 that are not in validation"):
        prepare(tmp_path, train=same)


def test_more_questions_than_there_are(tmp_path):
    with pytest.raises(DataError, match=r"questions is 99999, but the source has \d+"):
        prepare(tmp_path, questions=99_999)


@pytest.mark.parametrize("estimator", STUDY["estimators"])
def test_the_training_differs_in_the_estimator_alone(estimator):
    settings = build(EstimatorSettings, STUDY["settings"])
    generation = build(SamplingConfig, STUDY["generation"])
    optimization = build(OptimizationConfig, STUDY["optimization"])
    config = grpo_config(grpo_settings(settings, estimator), generation, optimization)
    assert config.advantage.estimator == estimator
    assert (config.advantage.buffer_size, config.advantage.min_count, config.advantage.decay) == (16, 8, 0.9)
    assert (config.prompts_per_step, config.group_size, config.minibatches, config.epochs) == (16, 2, 1, 1)
    assert config.optimizer.learning_rate == settings.learning_rate
    assert not config.dynamic_sampling.enabled
