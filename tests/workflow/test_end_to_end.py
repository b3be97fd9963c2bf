"""The whole study in miniature: it runs, it is not run again, and a change reruns what it affects."""

import gzip
import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

TINY = ("--configfile", "config/tiny.yaml")
AFTER_EVALUATION = Counter(
    ["analyse_precision_study", "draw_outcome_figures", "build_precision_report", "all"]
)
AFTER_MEASURES = Counter(["draw_training_figures", "build_precision_report", "all"])
# What follows a training beside its evaluation; the geometry is measured by mode.
MEASURES = Counter(measure_update_geometry=2, compare_updates=1, draw_training_figures=1)
ONE_MODE = Counter(measure_update_geometry=1, compare_updates=1, draw_training_figures=1)
ALIGNMENT_ANALYSIS = Counter(["analyse_alignment_study", "draw_alignment_figures", "build_alignment_report"])
ALIGNMENT_ARMS = Counter(train_sft_arm=2, train_expert_iteration_arm=1, train_grpo_arm=2)
ADVANTAGE_ANALYSIS = Counter(["analyse_advantage_study", "build_advantage_report"])
REFERENCE_ANALYSIS = ADVANTAGE_ANALYSIS + Counter(["draw_reference_figures"])
ESTIMATOR_ANALYSIS = ADVANTAGE_ANALYSIS + Counter(["draw_estimator_figure"])
EVALUATIONS = Counter(evaluate_base=2, evaluate_policy=8)


@pytest.fixture(scope="module")
def study(project):
    """The finished tiny study."""
    run = project.snakemake("--cores", "2", *TINY)
    assert run.returncode == 0, run.stdout
    return project


def results(project) -> Path:
    return project.folder / "results" / "tiny"


def test_every_file_of_the_design_is_there(study):
    files = [
        "data/train.jsonl",
        "data/eval/rot.jsonl",
        "data/manifest.json",
        "base/policy/model.safetensors",
        "base/metrics.csv",
        "precision/train/bf16/seed2/rep1/policy/config.json",
        "precision/train/bf16/seed2/rep1/snapshots/step1/model.safetensors",
        "precision/train/bf16/seed2/rep1/metrics.csv",
        "precision/train/bf16/seed2/rep1/rollouts.jsonl.gz",
        "precision/train/bf16/seed2/rep1/provenance.json",
        "precision/eval/base/strings.json",
        "precision/eval/fp32/seed1/rep1/sums.json",
        "precision/eval/fp32/seed1/rep1/sums.samples.jsonl.gz",
        "precision/eval/fp32/seed1/rep1/sums.kl.jsonl.gz",
        "precision/analysis/runs.csv",
        "precision/analysis/hypotheses.json",
        "precision/analysis/matches.csv",
        "precision/analysis/predictions.csv",
        "precision/analysis/modes.csv",
        "precision/analysis/missing.csv",
        "precision/geometry/bf16.csv",
        "precision/overlap.csv",
        "precision/figures/delta_by_task.pdf",
        "precision/figures/delta_by_task.csv",
        "alignment/data/sft.jsonl",
        "alignment/base/policy/model.safetensors",
        "alignment/zero_shot/question_only/failures.jsonl",
        "alignment/sft/size=8/policies/seed2/model.safetensors",
        "alignment/expert_iteration/default/validation.csv",
        "alignment/grpo/prompt=question_only/generations.jsonl.gz",
        "alignment/grpo/prompt=question_only/tensorboard/seed2",
        "alignment/analysis/findings.json",
        "alignment/figures/ranking.pdf",
        "alignment/report.html",
        "advantage/reference/ema-0.9/statistics.npz",
        "advantage/grpo/per_prompt_buffer/policies/seed2/model.safetensors",
        "advantage/grpo/per_prompt_buffer/tensorboard/seed2",
        "advantage/analysis/findings.json",
        "advantage/report.html",
        "report.html",
        "logs/train_policy/fp32/seed1/rep1.log",
        "benchmarks/train_policy/fp32/seed1/rep1.tsv",
    ]
    missing = [file for file in files if not (results(study) / file).stat().st_size]
    assert not missing
    assert not list((results(study) / "checkpoints").rglob("*.pt"))


def test_samples_have_the_numbers_of_the_config(study):
    with gzip.open(results(study) / "precision/eval/fp32/seed1/rep1/sums.samples.jsonl.gz", "rt") as lines:
        samples = Counter(json.loads(line)["task"] for line in lines)
    assert samples == {"add": 32, "sub": 32}
    with gzip.open(results(study) / "precision/eval/base/sums.samples.jsonl.gz", "rt") as lines:
        assert sum(1 for _ in lines) == 128


def test_a_second_run_has_nothing_to_do(study):
    second = study.snakemake("--cores", "2", *TINY)
    assert second.returncode == 0
    assert "Nothing to be done" in second.stdout


def verify(project, *arguments: str) -> subprocess.CompletedProcess:
    """`python -m rlvr verify` on the tiny results."""
    command = [sys.executable, "-m", "rlvr", "verify", "results/tiny", *arguments]
    return subprocess.run(
        command, cwd=project.folder, env=project.environment(), capture_output=True, text=True, check=False
    )


def test_every_record_is_true_of_its_files(study):
    said = verify(study)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "0 changed, 0 missing" in said.stdout
    unchanged = set(re.findall(r"^  unchanged  results/tiny/([^ \n]+)", said.stdout, re.MULTILINE))
    assert unchanged >= {
        "data/eval/rev.jsonl",
        "alignment/data/sft.jsonl",
        "base/policy",
        "precision/train/bf16/seed2/rep1/policy",
        "precision/train/bf16/seed2/rep1/snapshots",
        "precision/train/bf16/seed2/rep1/metrics.csv",
        "precision/eval/base/sums.samples.jsonl.gz",
        "precision/eval/fp32/seed1/rep1/sums.kl.jsonl.gz",
        "alignment/sft/size=8/policies/seed2",
        "advantage/grpo/group/validation.csv",
    }


def test_results_of_two_machines_are_compared(study):
    theirs = shutil.copytree(results(study), study.folder / "theirs/tiny")
    try:
        said = verify(study, "--against", str(theirs))
        assert said.returncode == 0, said.stdout + said.stderr
        assert said.stdout.rstrip().endswith("\nbit-identical")
        result = theirs / "precision/eval/bf16/seed1/rep1/sums.json"
        record = json.loads(result.read_text())
        record["tasks"][0]["accuracy"] += 1e-6
        result.write_text(json.dumps(record))
        said = verify(study, "--against", str(theirs))
        assert said.returncode == 1
        assert re.findall(r"^  different .*", said.stdout, re.MULTILINE) == [
            line
            for line in said.stdout.splitlines()
            if "bf16/seed1/rep1/sums.json: row 1, tasks.0.acc" in line
        ]
    finally:
        shutil.rmtree(theirs.parent)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("precision={seeds: 3}", Counter(train_policy=2, evaluate_policy=4) + MEASURES + AFTER_EVALUATION),
        ("precision={repeats: 2}", Counter(train_policy=4, evaluate_policy=8) + MEASURES + AFTER_EVALUATION),
        # fp32 has no dropout.
        (
            "precision={dropout_rate: 0.2}",
            Counter(train_policy=2, evaluate_policy=4) + ONE_MODE + AFTER_EVALUATION,
        ),
        (
            "precision={training: {steps: 4}}",
            Counter(train_policy=4, evaluate_policy=8) + MEASURES + AFTER_EVALUATION,
        ),
        (
            "precision={modes: [fp32, bf16, narrow], custom_modes: {narrow: {reduce: bfloat16}}}",
            Counter(train_policy=2, evaluate_policy=4) + ONE_MODE + AFTER_EVALUATION,
        ),
        ("precision={geometry: {rank: 4}}", Counter(measure_update_geometry=2) + AFTER_MEASURES),
        ("precision={evaluation: {kl: {samples: 2}}}", Counter(evaluate_policy=8) + AFTER_EVALUATION),
        ("precision={evaluation: {base_samples_factor: 3}}", Counter(evaluate_base=2) + AFTER_EVALUATION),
        # Only the suite of the task.
        (
            "precision={evaluation: {tasks: {rev: {rows: 8}}}}",
            Counter(evaluate_base=1, evaluate_policy=4) + AFTER_EVALUATION,
        ),
        # The studies leave one another alone.
        ("alignment={comparison: {margin_points: 3}}", ALIGNMENT_ANALYSIS + Counter(["all"])),
        # One arm, which is a new one by its name.
        (
            "alignment={grpo: {experiments: {loop: {arms: [{}, {length_normalization: masked_normalize}]}}}}",
            Counter(train_grpo_arm=1, all=1) + ALIGNMENT_ANALYSIS,
        ),
        (
            "alignment={grpo: {settings: {learning_rate: 0.001}}}",
            Counter(train_grpo_arm=2, all=1) + ALIGNMENT_ANALYSIS,
        ),
        (
            "advantage={reference: {decays: [0.9, 0.5]}}",
            Counter(run_reference_problem=1, all=1) + REFERENCE_ANALYSIS,
        ),
        (
            "advantage={grpo: {settings: {decay: 0.8}}}",
            Counter(train_with_estimator=2, all=1) + ESTIMATOR_ANALYSIS,
        ),
        ("precision={analysis: {alpha: 0.1}}", AFTER_EVALUATION),
        ("resources={train_policy: {runtime: 5, mem_mb: 9}}", Counter()),
    ],
)
def test_a_changed_number_reruns_what_it_affects(study, override, expected):
    assert study.planned(*TINY, "--config", override) == expected


DELETED = [
    ("precision/eval/bf16/seed1/rep1/strings.json", Counter(["evaluate_policy"]) + AFTER_EVALUATION),
    ("precision/eval/bf16/seed1/rep1/strings.kl.jsonl.gz", Counter(["evaluate_policy"]) + AFTER_EVALUATION),
    ("precision/analysis/arms.csv", AFTER_EVALUATION),
    ("report.html", Counter(["build_precision_report", "all"])),
    # Weights may be deleted to save space.
    ("precision/train/bf16/seed1/rep1/policy", Counter()),
]


@pytest.mark.parametrize(("file", "expected"), DELETED, ids=[file for file, _ in DELETED])
def test_what_is_deleted_is_made_anew_with_what_follows(study, file, expected):
    deleted = results(study) / file
    aside = deleted.rename(study.folder / "aside")
    try:
        assert study.planned(*TINY) == expected
    finally:
        aside.rename(deleted)


TRAINING = Counter(train_policy=4)
CODE = [
    # an edited module, and the jobs that depend on it
    ("lib/rlvr/report/precision.py", Counter(["build_precision_report", "all"])),
    ("lib/rlvr/report/precision.html", Counter(["build_precision_report", "all"])),
    ("lib/rlvr/figures/draw.py", Counter(["draw_outcome_figures"]) + AFTER_MEASURES),
    (
        "lib/rlvr/statistics/variance.py",
        # both kinds of figure of the advantage study have intervals
        AFTER_EVALUATION + ALIGNMENT_ANALYSIS + (REFERENCE_ANALYSIS | ESTIMATOR_ANALYSIS),
    ),
    ("lib/rlvr/evaluation/kl.py", EVALUATIONS + AFTER_EVALUATION),
    (
        "lib/rlvr/optim.py",
        # the bases are trained with it too
        TRAINING
        + Counter(train_base_policy=1, train_alignment_base=1, train_estimator_base=1)
        + EVALUATIONS
        + Counter(evaluate_zero_shot=2)
        + MEASURES
        + AFTER_EVALUATION
        + ALIGNMENT_ARMS
        + ALIGNMENT_ANALYSIS
        + Counter(train_with_estimator=2)
        + ESTIMATOR_ANALYSIS,
    ),
    ("lib/rlvr/alignment/analysis/words.py", ALIGNMENT_ANALYSIS + Counter(["all"])),
    (
        "lib/rlvr/alignment/expert_iteration.py",
        Counter(train_expert_iteration_arm=1, all=1) + ALIGNMENT_ANALYSIS,
    ),
    (
        "lib/rlvr/advantage_study/problem.py",
        Counter(run_reference_problem=8, all=1) + REFERENCE_ANALYSIS,
    ),
    ("lib/rlvr/diagnostics/spectral.py", Counter(measure_update_geometry=2) + AFTER_MEASURES),
    ("lib/rlvr/diagnostics/overlap.py", Counter(compare_updates=1) + AFTER_MEASURES),
    ("lib/rlvr/config/load.py", Counter()),
    ("lib/rlvr/joblog.py", None),
]


@pytest.mark.parametrize(("file", "expected"), CODE, ids=[file for file, _ in CODE])
def test_edited_code_reruns_what_depends_on_it(study, file, expected):
    path = study.folder / file
    text = path.read_text()
    path.write_text(text + ("\nEDITED = True\n" if path.suffix == ".py" else "<!-- edited -->\n"))
    try:
        planned = study.planned(*TINY)
    finally:
        path.write_text(text)
    if expected is None:  # every job logs
        own = {"prepare_training_data", "train_base_policy", "train_policy", "build_precision_report"}
        assert set(planned) >= own
    else:
        assert planned == expected


def test_a_comment_reruns_nothing(study):
    path = study.folder / "lib/rlvr/optim.py"
    text = path.read_text()
    path.write_text("# a remark\n" + text)
    try:
        assert study.planned(*TINY) == Counter()
    finally:
        path.write_text(text)


def test_a_package_upgrade_reruns_nothing(study):
    upgraded = study.folder / "lib/torch-99.0.dist-info"
    upgraded.mkdir()
    try:
        (upgraded / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 99.0\n")
        seen = "from rlvr.provenance import environment; print(environment()['packages']['torch'])"
        python = [sys.executable, "-c", seen]
        found = subprocess.run(python, env=study.environment(), capture_output=True, text=True, check=True)
        assert found.stdout == "99.0\n"
        assert study.planned(*TINY) == Counter()
    finally:
        shutil.rmtree(upgraded)


def test_an_accepted_change_reruns_nothing_and_a_later_one_does(study):
    path = study.folder / "lib/rlvr/report/precision.py"
    report, page = Counter(["build_precision_report", "all"]), "results/tiny/report.html"
    text = path.read_text()
    try:
        path.write_text(text + "\nHARMLESS = True\n")
        assert study.planned(*TINY) == report
        assert study.snakemake("--touch", page, "--cores", "1", *TINY).returncode == 0
        assert study.planned(*TINY) == Counter()
        path.write_text(text + "\nHARMFUL = True\n")
        assert study.planned(*TINY) == report
    finally:
        path.write_text(text)
        study.snakemake("--touch", page, "--cores", "1", *TINY)
    assert study.planned(*TINY) == Counter()


def test_snakemake_can_report(study):
    run = study.snakemake("--report", "snakemake-report.html", *TINY)
    assert run.returncode == 0, run.stdout
    page = (study.folder / "snakemake-report.html").read_text()
    assert "delta_by_task" in page


RUN = "results/killed/precision/train/fp32/seed1/{rep}/provenance.json"
LONGER = (*TINY, "--config", "name=killed", "precision={repeats: 3, training: {steps: 60}}")


def training_with_a_checkpoint(project, snakemake: subprocess.Popen, rep: str) -> psutil.Process:
    """The training job, as soon as it has written a checkpoint."""
    checkpoints = project.folder / "results/killed/checkpoints/train_policy/fp32/seed1" / rep
    deadline = time.monotonic() + 300  # only against a hang
    while not list(checkpoints.glob("step*/facts.json")):
        assert time.monotonic() < deadline
        assert snakemake.poll() is None
        time.sleep(0.002)
    [job] = [
        child
        for child in psutil.Process(snakemake.pid).children(recursive=True)
        if re.search(r"train_policy\.py", " ".join(child.cmdline()))
    ]
    return job


def start(project, run: str, said: Path) -> subprocess.Popen:
    """Snakemake on its way to one training run."""
    command = project.command(run, "--cores", "1", "--retries", "1", *LONGER)
    with said.open("w") as output:
        return subprocess.Popen(
            command, cwd=project.folder, env=project.environment(), stdout=output, stderr=output
        )


def weight_hash(project, run: str) -> str:
    return json.loads((project.folder / run).read_text())["weight_hash"]


@pytest.fixture(scope="module")
def undisturbed(study):
    """The hash of a training that nothing happens to."""
    shutil.copytree(results(study) / "base", study.folder / "results/killed/base", dirs_exist_ok=True)
    run = RUN.format(rep="rep2")
    assert study.snakemake(run, "--cores", "1", *LONGER).returncode == 0
    return weight_hash(study, run)


def test_a_killed_training_resumes_and_ends_with_the_same_weights(study, undisturbed, tmp_path):
    run, said = RUN.format(rep="rep1"), tmp_path / "said"
    snakemake = start(study, run, said)
    training_with_a_checkpoint(study, snakemake, "rep1").kill()
    assert snakemake.wait(timeout=120) == 0, said.read_text()
    log = (study.folder / "results/killed/logs/train_policy/fp32/seed1/rep1.log").read_text()
    assert "resuming from" in log
    assert weight_hash(study, run) == undisturbed


def test_a_training_that_outlives_snakemake_is_not_done_again(study, undisturbed, tmp_path):
    run = RUN.format(rep="rep3")
    snakemake = start(study, run, tmp_path / "said")
    orphan = training_with_a_checkpoint(study, snakemake, "rep3")
    snakemake.kill()
    snakemake.wait()
    psutil.wait_procs([orphan], timeout=300)
    assert (study.folder / run).exists()
    assert study.snakemake(run, "--unlock", *LONGER).returncode == 0
    again = study.snakemake(run, "--cores", "1", *LONGER)
    assert again.returncode == 0, again.stdout
    log = (study.folder / "results/killed/logs/train_policy/fp32/seed1/rep3.log").read_text()
    assert re.search(r"resuming from .*step0000060", log)
    assert "step 60/60" not in log
    assert weight_hash(study, run) == undisturbed
    assert not (study.folder / "results/killed/checkpoints/train_policy/fp32/seed1/rep3").exists()
