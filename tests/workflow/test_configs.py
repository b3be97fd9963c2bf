"""Dry runs of the configs in the repository, and answers to wrong ones."""

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml
from project_copy import empty_data, uncommented

from rlvr.config.load import ConfigError, check_data_files, load_config
from rlvr.config.schema import SCHEMA_PATH

ROOT = SCHEMA_PATH.parents[1]


def needs_data(name: str) -> Path:
    path = ROOT / name
    try:
        check_data_files(load_config(path))
    except ConfigError as error:
        pytest.skip(f"the benchmark data is not here: {str(error).splitlines()[0]}")
    return path


@pytest.fixture
def benchmarks(project):
    """The data where the configs look for it, seen from the copy of the project."""
    link = project.folder.parent / "shared"
    if not link.exists() and (ROOT.parent / "shared" / "benchmarks").is_dir():
        link.symlink_to(ROOT.parent / "shared")


def test_the_default_study(project):
    planned = project.planned()
    assert planned["train_policy"] == planned["evaluate_policy"] == 25
    assert planned["prepare_evaluation_task"] == 6
    assert planned["measure_update_geometry"] == 5
    assert planned["compare_updates"] == 1
    for rule in ("train_base_policy", "evaluate_base", "merge_manifests", "build_precision_report", "all"):
        assert planned[rule] == 1
    names = ("precision", "alignment", "advantage", "repair")
    studies = [project.planned(study) - Counter([study]) for study in names]
    assert sum(studies, Counter()) == planned - Counter(["all"])
    assert studies[1] == Counter(
        prepare_alignment_data=1,
        train_alignment_base=1,
        evaluate_zero_shot=2,
        train_sft_arm=9,
        train_expert_iteration_arm=5,
        train_grpo_arm=21,
        analyse_alignment_study=1,
        draw_alignment_figures=1,
        build_alignment_report=1,
    )
    assert studies[2] == Counter(
        run_reference_problem=14,
        prepare_estimator_data=1,
        train_estimator_base=1,
        train_with_estimator=4,
        analyse_advantage_study=1,
        draw_reference_figures=1,
        draw_estimator_figure=1,
        build_advantage_report=1,
    )
    assert studies[3] == Counter(
        [
            "calibrate_repair",
            "grade_known_submissions",
            "measure_variance_error",
            "draw_repair_figures",
            "build_repair_report",
        ]
    )


def test_real_data(project, benchmarks, monkeypatch):
    monkeypatch.chdir(ROOT)
    needs_data("config/real-data.yaml")
    planned = project.planned("--configfile", "config/real-data.yaml")
    assert planned["prepare_evaluation_task"] == 8
    assert planned["train_policy"] == 4


def test_the_source_study(project, benchmarks, monkeypatch):
    monkeypatch.chdir(ROOT)
    needs_data("config/qwen2.5-math-7b.yaml")
    dry_run = project.snakemake("-n", "--configfile", "config/qwen2.5-math-7b.yaml").stdout
    jobs = re.findall(r"^rule (\w+):.*?resources: [^\n]*\bgpu=(\d+)", dry_run, re.MULTILINE | re.DOTALL)
    assert jobs.count(("train_policy", "8")) == 10
    assert jobs.count(("evaluate_policy", "1")) == 50
    assert jobs.count(("evaluate_base", "1")) == 5


def test_the_smoke_test_of_a_gpu(project):
    dry_run = project.snakemake("-n", "precision", "--configfile", "config/gpu-smoke.yaml").stdout
    jobs = re.findall(r"^rule (\w+):.*?resources: [^\n]*\bgpu=(\d+)", dry_run, re.MULTILINE | re.DOTALL)
    assert jobs.count(("train_policy", "1")) == 6
    assert jobs.count(("train_base_policy", "1")) == 1


def test_the_handout(project, benchmarks, monkeypatch):
    monkeypatch.chdir(ROOT)
    needs_data("config/qwen2.5-math-1.5b.yaml")
    dry_run = project.snakemake("-n", "alignment", "--configfile", "config/qwen2.5-math-1.5b.yaml").stdout
    jobs = re.findall(r"^rule (\w+):.*?resources: [^\n]*\bgpu=(\d+)", dry_run, re.MULTILINE | re.DOTALL)
    assert jobs.count(("train_sft_arm", "1")) == 9
    assert jobs.count(("train_expert_iteration_arm", "1")) == 5
    assert jobs.count(("train_grpo_arm", "1")) == 21
    assert "alignment/grpo/learning_rate=0.0001/policies" in dry_run
    assert "alignment/sft/size=1024/policies" in dry_run


CLUSTER = [
    # config, target, and what each job of a rule asks for
    ("qwen2.5-math-7b", "precision", "train_policy", "gpu=8", "runtime=2880", "mem_mb=200000"),
    ("qwen2.5-math-7b", "precision", "evaluate_policy", "gpu=1", "runtime=1440", "mem_mb=80000"),
    ("qwen2.5-math-7b", "precision", "measure_update_geometry", "gpu=1", "runtime=2880", "mem_mb=80000"),
    ("qwen2.5-math-1.5b", "alignment", "train_grpo_arm", "gpu=1", "runtime=2880", "mem_mb=64000"),
    ("qwen2.5-math-1.5b", "alignment", "evaluate_zero_shot", "gpu=1", "runtime=480", "mem_mb=32000"),
]


@pytest.mark.parametrize(("name", "study", "rule", "gpu", "minutes", "memory"), CLUSTER)
def test_on_a_cluster(project, tmp_path, name, study, rule, gpu, minutes, memory):
    empty_data(load_config(project.folder / f"config/{name}.yaml"), tmp_path)
    config = ("--configfile", f"config/{name}.yaml", "--config", f"data_root={tmp_path}")
    site = ("--set-resources", f"{rule}:slurm_partition=big", f"{rule}:slurm_account=mine")
    dry_run = project.snakemake("-n", study, "--profile", "profiles/slurm", *config, *site)
    assert dry_run.returncode == 0, dry_run.stdout
    asked = re.findall(rf"^ *rule {rule}:.*?resources: ([^\n]*)", dry_run.stdout, re.MULTILINE | re.DOTALL)
    assert asked
    for resources in asked:
        assert {gpu, minutes, memory} <= set(resources.split(", "))
        assert "slurm_partition=big" in resources
        assert "slurm_account=mine" in resources


def test_the_examples_in_the_slurm_profile_work(project, tmp_path):
    text = (project.folder / "profiles/slurm/config.yaml").read_text()
    profile = tmp_path / "examples"
    profile.mkdir()
    (profile / "config.yaml").write_text(uncommented(text))
    empty_data(load_config(project.folder / "config/qwen2.5-math-7b.yaml"), tmp_path)
    config = ("--configfile", "config/qwen2.5-math-7b.yaml", "--config", f"data_root={tmp_path}")
    dry_run = project.snakemake("-n", "precision", "--profile", str(profile), *config)
    assert dry_run.returncode == 0, dry_run.stdout
    asked = re.findall(r"^rule train_policy:.*?resources: ([^\n]*)", dry_run.stdout, re.MULTILINE | re.DOTALL)
    assert len(asked) == 10
    for resources in asked:
        examples = ["slurm_partition=gpu", "gpu_model=a100", "runtime=1440", "slurm_extra=--signal=TERM@600"]
        assert set(examples) <= set(resources.split(", "))
    assert "slurm_account=myproject" in dry_run.stdout


@pytest.mark.parametrize(
    ("name", "targets"), [("qwen2.5-math-7b", ()), ("qwen2.5-math-1.5b", ("alignment", "advantage"))]
)
def test_the_slurm_profile_sends_every_job_with_a_gpu_to_its_partition(project, tmp_path, name, targets):
    text = (project.folder / "profiles/slurm/config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(uncommented(text))
    empty_data(load_config(project.folder / f"config/{name}.yaml"), tmp_path)
    config = ("--configfile", f"config/{name}.yaml", "--config", f"data_root={tmp_path}")
    dry_run = project.snakemake("-n", *targets, "--profile", str(tmp_path), *config)
    assert dry_run.returncode == 0, dry_run.stdout
    asked = [
        set(line.split(", ")) for line in re.findall(r"resources: ([^\n]*gpu=[1-9][^\n]*)", dry_run.stdout)
    ]
    assert len(asked) > 20
    assert all("slurm_partition=gpu" in resources for resources in asked)


@pytest.mark.parametrize(("profile", "gpus"), [("workstation", "4"), ("slurm", "16")])
def test_the_totals_of_a_profile_hold_and_no_others(project, tmp_path, profile, gpus):
    empty_data(load_config(project.folder / "config/qwen2.5-math-7b.yaml"), tmp_path)
    override = (f"data_root={tmp_path}", "resources={train_policy: {gpu: 16}}")
    config = ("--configfile", "config/qwen2.5-math-7b.yaml", "--config", *override)
    dry_run = project.snakemake("-n", "precision", "--profile", f"profiles/{profile}", *config)
    asked = re.findall(r"^rule train_policy:.*?\bgpu=(\d+)", dry_run.stdout, re.MULTILINE | re.DOTALL)
    assert asked == [gpus] * 10


def test_each_retry_asks_for_more_time_and_memory(project, tmp_path):
    config = jsonl_study(tmp_path, "")
    target = "results/jsonl/data/train.jsonl"
    run = project.snakemake(target, "--cores", "1", "--retries", "2", "--configfile", config)
    assert run.returncode != 0
    asked = re.findall(r"rule prepare_training_data:.*?resources: ([^\n]*)", run.stdout, re.DOTALL)
    assert [re.search(r"runtime=(\d+)", attempt)[1] for attempt in asked] == ["10", "20", "30"]
    assert [re.search(r"mem_mb=(\d+)", attempt)[1] for attempt in asked] == ["1000", "2000", "3000"]


def test_another_config_replaces_the_default_and_single_values_change_either(project):
    planned = project.planned("--configfile", "config/tiny.yaml", "--config", "precision={seeds: 3}")
    assert planned["train_policy"] == 6
    assert planned["prepare_evaluation_task"] == 6
    assert planned["evaluate_policy"] == 12


def test_no_result_is_evaluated_twice_with_external_policies(project, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).touch()
    policies = [{"name": "theirs", "path": str(tmp_path), "arm": "elsewhere", "seed": 1}]
    config = tmp_path / "external.yaml"
    config.write_text(yaml.safe_dump({"precision": {"external_policies": policies}}))
    planned = project.planned("--configfile", str(config))
    assert planned["fetch_external_policy"] == planned["evaluate_external"] == 1
    assert planned["evaluate_policy"] == 25


def test_noise_factors(project):
    planned = project.planned("--configfile", "config/noise-factors.yaml")
    assert planned["train_policy"] == planned["evaluate_policy"] == 11 * 3 * 2


WRONG = [
    ("precision={mode: [fp32]}", "precision.mode: unknown key (did you mean modes?)"),
    (
        "precision={modes: [fp33]}",
        "precision.modes.0: fp33 is unknown (did you mean fp32?); allowed: fp32, bf16",
    ),
    ("precision={training: {optimizer: {learning_rate: -1}}}", "learning_rate: -1.0 is not allowed"),
    (
        "precision={seeds: many}",
        "precision.seeds: many is of the wrong type; allowed: a whole number, at least 1",
    ),
    ("data={evaluation: {add: {verifier: oracle}}}", "data.evaluation.add.verifier: oracle is unknown"),
    ("precision={evaluation: {on_task: zz}}", "precision.evaluation.on_task: zz is in no suite"),
    ("base={kind: pretrained, path: a/b}", "base.seed: unknown key"),
]


@pytest.mark.parametrize(("override", "said"), WRONG)
def test_a_wrong_config_is_answered_in_plain_words(project, override, said):
    answer = project.snakemake("-n", "--config", override)
    assert answer.returncode != 0
    assert said in answer.stdout
    assert "Traceback" not in answer.stdout
    assert "allowed: " in answer.stdout


def jsonl_study(folder: Path, rows: str) -> str:
    """A config that trains on a file of `rows`; returns its path."""
    (folder / "train.jsonl").write_text(rows)
    config = yaml.safe_load((Path(__file__).parent / "tiny.yaml").read_text())
    source = {"kind": "jsonl", "path": "train.jsonl"}
    config |= {"name": "jsonl", "data_root": str(folder), "data": {"train": {"sources": [source]}}}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(config))
    return str(path)


def test_a_missing_file_is_named_with_the_key_and_the_root(project, tmp_path):
    config = jsonl_study(tmp_path, "")
    (tmp_path / "train.jsonl").unlink()
    answer = project.snakemake("-n", "--configfile", config)
    assert answer.returncode != 0
    assert f"data.train.sources.0.path: the file {tmp_path}/train.jsonl does not exist" in answer.stdout
    assert f"data_root is {tmp_path}" in answer.stdout
    assert "Traceback" not in answer.stdout


GOOD = '{"id": "a", "question": "1+1=", "answer": "2"}\n'


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (GOOD + '{"id": "b", "question": \n', "train.jsonl:2: "),
        (GOOD + '{"id": "b", "question": "2+2="}\n', "train.jsonl:2: "),
        ("", "data.train.sources: no problem is left of 0 rows read"),
    ],
    ids=["malformed", "no answer", "no rows"],
)
def test_bad_training_data_fails_its_job_with_file_and_line(project, tmp_path, rows, said):
    config = jsonl_study(tmp_path, rows)
    shutil.rmtree(project.folder / "results" / "jsonl", ignore_errors=True)
    job = project.snakemake("results/jsonl/data/train.jsonl", "--cores", "1", "--configfile", config)
    assert job.returncode != 0
    log = (project.folder / "results/jsonl/logs/prepare_training_data.log").read_text()
    assert said in log.splitlines()[-1]
    assert "Traceback" not in log
    assert log.strip() in job.stdout
    assert not (project.folder / "results/jsonl/data/train.jsonl").exists()
