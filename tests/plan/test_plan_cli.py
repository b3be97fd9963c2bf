import json
import subprocess
import sys
from contextlib import contextmanager

import pytest
import yaml

from rlvr.__main__ import main
from rlvr.config.load import load_config
from rlvr.plan.precision_tests import powers, study_plan
from rlvr.plan.probe import Probe
from rlvr.statistics.planning import StudyPlan
from rlvr.statistics.power import arms_equivalence_power

HUB = {"kind": "pretrained", "path": "Qwen/Qwen2.5-Math-7B", "revision": "0" * 40}


@pytest.fixture
def configfile(tmp_path, monkeypatch):
    """A function that writes a config without results."""
    monkeypatch.chdir(tmp_path)

    def write(**changes):
        (tmp_path / "study.yaml").write_text(yaml.safe_dump({"name": "nothing-here", **changes}))
        return "study.yaml"

    return write


def test_a_whole_plan_and_its_json(configfile, capsys):
    arguments = ["--steps-per-hour", "600", "--response-tokens", "3", "--json", "plan.json"]
    assert main(["plan", "--configfile", configfile(), *arguments]) == 0
    text = capsys.readouterr().out
    for part in (
        "186,944 parameters",
        "Memory of one training job in MB",
        "Jobs, from nothing: ",
        "Hours at 96 response tokens a second",
        "Standard errors of one run",
        "H1 and H3, are the arms alike",
    ):
        assert part in text
    with open("plan.json") as file:
        plan = json.load(file)
    assert plan["policy"]["parameters"] == 186_944
    assert [memory["mode"] for memory in plan["memory"]] == list(plan["movable"]["share"])
    # 600 steps an hour, 60 steps a run.
    assert plan["hours"][0]["hours_a_job"] == pytest.approx(0.1)
    assert set(plan["tests"]["power"]) == {"H1", "H2", "H3"}


def test_a_plan_of_the_7b_model_needs_no_torch(configfile):
    name = configfile(device="cuda", base=HUB, precision={"seeds": 1})
    code = (
        "import sys; from rlvr.__main__ import main; "
        f"status = main(['plan', '--configfile', '{name}']); sys.exit(status or 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "7,615,616,512 parameters" in answer.stdout
    assert "121.8" in answer.stdout
    assert "fewest GPUs for all of that" in answer.stdout
    assert "Memory of one evaluation in GB" in answer.stdout


def test_a_measured_probe_of_the_embedded_policy(configfile, capsys):
    training = {"prompts_per_step": 4, "minibatches": 1, "steps": 9, "snapshot_steps": []}
    name = configfile(precision={"training": training, "seeds": 1})
    assert main(["plan", "--configfile", name, "--probe", "0.1", "--json", "plan.json"]) == 0
    assert "measured here, mode fp32, random weights: median" in capsys.readouterr().out
    with open("plan.json") as file:
        plan = json.load(file)
    assert plan["throughput"]["tokens_per_second"] > 0
    assert 0 < plan["throughput"]["response_tokens"] <= 6
    assert "seeds is 1" in plan["tests"]["not_planned"]


@pytest.mark.parametrize(("device", "gpus"), [("auto", 1), ("cpu", 0)])
def test_a_probe_leases_a_gpu_before_it_measures(configfile, monkeypatch, capsys, device, gpus):
    held, asked = [], []

    @contextmanager
    def lease(count, job):
        asked.append((count, job))
        held.append(count)
        yield
        held.pop()

    def measure(config, folder, seconds):
        assert held == [gpus]
        return Probe("fp32", "random weights", 3, 0.5, 4.0)

    monkeypatch.setattr("rlvr.plan.cli.lease_gpus", lease)
    monkeypatch.setattr("rlvr.plan.probe.measure_steps", measure)
    # The job has two; the probe measures in one process.
    name = configfile(device=device, resources={"train_policy": {"gpu": 2}})
    assert main(["plan", "--configfile", name, "--probe", "1", "--json", "plan.json"]) == 0
    assert asked == [(gpus, "python -m rlvr plan --probe")]
    assert not held
    with open("plan.json") as file:
        plan = json.load(file)
    # 24 prompts × 8 responses × 4 tokens in half a second, on what was measured on.
    assert plan["throughput"]["tokens_per_second"] == 24 * 8 * 4 / 0.5
    assert plan["throughput"]["gpus"] == gpus
    training = plan["hours"][0]
    assert training["total"] * 3600 == pytest.approx(25 * 60 * 24 * 8 * 4 / (24 * 8 * 4 / 0.5))


def test_jobs_with_gpus_of_unknown_hours_are_named(configfile, capsys):
    resources = {"train_base_policy": {"gpu": 1}, "measure_updates": {"gpu": 2}}
    name = configfile(device="cuda", resources=resources)
    assert main(["plan", "--configfile", name, "--steps-per-hour", "60"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "without train_base_policy (1 × 1 GPU), measure_update_geometry (5 × 2 GPUs), which hold" in text


@pytest.mark.parametrize(
    ("changes", "arguments", "said"),
    [
        ({"base": HUB | {"path": "a/b"}}, [], "--model-config"),
        ({"base": HUB}, ["--probe", "1"], "argument --probe: Qwen/Qwen2.5-Math-7B is not on this machine"),
        ({}, ["--probe", "1", "--study", "alignment"], "allowed with --study precision only"),
        ({}, ["--json", "study.yaml/plan.json"], "argument --json"),
        ({"seeds": 3}, [], "seeds: unknown key"),
    ],
)
def test_mistakes_are_answered_in_plain_words(configfile, capsys, changes, arguments, said):
    assert main(["plan", "--configfile", configfile(**changes), *arguments]) == 1
    answer = capsys.readouterr().err
    assert answer.startswith("error: ")
    assert said in answer


def test_a_missing_config_is_named(capsys):
    assert main(["plan", "--configfile", "nowhere.yaml"]) == 1
    assert "nowhere.yaml: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--gpu-memory-gb", "--steps-per-hour", "--prompt-tokens"])
def test_numbers_out_of_bounds(option, capsys):
    with pytest.raises(SystemExit):
        main(["plan", option, "0"])
    assert f"argument {option}: 0: allowed is" in capsys.readouterr().err


def test_the_tests_are_planned_with_the_numbers_of_the_config(configfile):
    config = load_config(configfile(precision={"seeds": 7, "analysis": {"equivalence_margin_points": 3.0}}))
    plan = study_plan(config, 0.4)
    assert plan == StudyPlan(
        seeds=7, problems=256, samples=8, accuracy=0.4, tasks=5, margin=3.0, base_samples_factor=4
    )
    assert powers(plan)["H1"] == arms_equivalence_power(7, plan.score_sd, 3.0, 0.05)
