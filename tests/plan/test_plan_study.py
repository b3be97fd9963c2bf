from pathlib import Path

import pytest
import yaml

from rlvr.config.load import load_config
from rlvr.plan.evaluation import drawing_jobs
from rlvr.plan.fitting import fewest_gpus, largest_rows
from rlvr.plan.memory import training_memory
from rlvr.plan.study import study_to_plan

CONFIGS = Path(__file__).parents[2] / "config"
GPU_BYTES = 80e9


def study_of(tmp_path, changes, name="precision"):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(changes))
    return study_to_plan(load_config(file), name)


def with_gpus(gpus, **training):
    """Changes that let processes share a training job."""
    trained = {"trainer": {"gpus": gpus}, "prompts_per_step": 24, "group_size": 8, **training}
    return {"precision": {"training": trained}, "resources": {"train_policy": {"gpu": 8}}}


def test_processes_draw_whole_prompts(tmp_path):
    study = study_of(tmp_path, with_gpus(5))
    assert (study.processes, study.gpus) == (5, 8)
    assert study.load.drawn_rows == 5 * 8  # five of 24 prompts, by the one of five processes that has most


@pytest.mark.parametrize(("gpus", "rows", "accumulates"), [(1, 96, True), (2, 96, False), (1, 192, False)])
def test_whether_an_update_sums_up_microbatches(tmp_path, gpus, rows, accumulates):
    study = study_of(tmp_path, with_gpus(gpus, minibatches=1, microbatch_size=rows))
    assert study.load.accumulates == accumulates


def test_other_studies_validate_with_one_response_a_problem(tmp_path):
    changes = {"alignment": {"validation": {"rows": 500}}}
    study = study_of(tmp_path, changes, "alignment")
    assert (study.load.drawn_rows, study.load.samples, study.processes) == (500, 1, 1)
    every = {"alignment": {"validation": {"final_rows": None}}}
    assert study_of(tmp_path, every, "alignment").load.drawn_rows == 1024  # max_batch_rows


@pytest.mark.parametrize("mode", [0, 1])
def test_the_training_of_the_7b_config_fits_on_its_gpus(mode):
    study = study_to_plan(load_config(CONFIGS / "qwen2.5-math-7b.yaml"), "precision")
    sizes, load = study.policy.sizes, study.load
    assert fewest_gpus(training_memory(sizes, study.modes[mode], load), GPU_BYTES) <= study.processes == 8
    assert largest_rows(sizes, study.modes[mode], load, study.processes, GPU_BYTES) == (
        load.rows,
        load.drawn_rows,
    )


def test_the_base_of_the_7b_config_can_be_evaluated():
    config = load_config(CONFIGS / "qwen2.5-math-7b.yaml")
    jobs = drawing_jobs(config, study_to_plan(config, "precision"), None)
    (base,) = (job for job in jobs if job.rule == "evaluate_base")
    assert base.memory().peak() <= 0.9 * GPU_BYTES
