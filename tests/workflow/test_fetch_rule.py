"""Data of the hub in the workflow: fetched by a rule of its own, read from the cache by the jobs."""

import shutil

import pytest
import yaml
from hub_cache import COMMIT, parquet_bytes, store

TASK = "results/hub/data/eval/gsm8k.jsonl"


@pytest.fixture
def study(tmp_path, monkeypatch, project):
    """Writes a config whose task and base come from the hub, at a commit; the cache is in tmp_path."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    shutil.rmtree(project.folder / "results" / "hub", ignore_errors=True)

    def write(revision: str) -> str:
        source = {"kind": "hub", "repo": "openai/gsm8k", "schema": "gsm8k", "split": "test"}
        config = {
            "name": "hub",
            "data": {
                "evaluation": {"gsm8k": {"source": source | {"revision": revision}, "verifier": "math"}}
            },
            "base": {"kind": "pretrained", "path": "some-one/policy", "revision": COMMIT},
            "precision": {
                "evaluation": {"on_task": "gsm8k", "suites": {"s": ["gsm8k"]}, "tasks": {"gsm8k": {}}}
            },
        }
        path = tmp_path / "hub.yaml"
        path.write_text(yaml.safe_dump(config))
        return str(path)

    return write


def test_fetching_is_one_job_that_needs_no_other(project, study):
    planned = project.planned("fetch", "--configfile", study(COMMIT))
    assert planned == {"fetch": 1, "fetch_hub": 1}
    assert "fetch_hub" not in project.planned("precision", "--configfile", study(COMMIT))


def test_a_branch_is_answered_in_plain_words(project, study):
    answer = project.snakemake("-n", "--configfile", study("main"))
    assert answer.returncode != 0
    assert "data.evaluation.gsm8k.source.revision: main is not allowed" in answer.stdout
    assert "git ls-remote" in answer.stdout
    assert "Traceback" not in answer.stdout


def test_jobs_read_the_cache_and_another_commit_reruns_them(project, study, tmp_path):
    config = study(COMMIT)
    job = project.snakemake(TASK, "--cores", "1", "--configfile", config)
    assert job.returncode != 0
    log = (project.folder / "results/hub/logs/prepare_evaluation_task/gsm8k.log").read_text()
    assert f"error: dataset openai/gsm8k@{COMMIT} is not, or not wholly, in the hub cache" in log
    assert "make fetch CONFIG=" in log
    assert "Traceback" not in log

    rows = parquet_bytes([{"question": "1+2?", "answer": "#### 3"}])
    store(tmp_path / "home" / "hub", "dataset", "openai/gsm8k", {"test-00000-of-00001.parquet": rows})
    job = project.snakemake(TASK, "--cores", "1", "--configfile", config)
    assert job.returncode == 0, job.stdout
    assert not project.planned(TASK, "--configfile", config)
    assert project.planned(TASK, "--configfile", study("f" * 40)) == {"prepare_evaluation_task": 1}
