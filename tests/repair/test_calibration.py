import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from orphaned import orphaned
from small_calibration import MUTATIONS

from rlvr.errors import UserError
from rlvr.files import read_json, read_jsonl
from rlvr.repair import calibration
from rlvr.repair.calibration import run_calibration
from rlvr.repair.calibration_files import CalibrationFiles
from rlvr.repair.mutations import WEIGHTS, MutationSolver, design_success_rate
from rlvr.repair.solver import Attempt


def files_in(folder):
    return CalibrationFiles.in_folder(folder, folder / "checkpoints")


def results_without_times(files):
    results = read_json(files.results)
    assert len(results.pop("timings")["attempts"]) == results["runs"]
    return results


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    files = files_in(tmp_path_factory.mktemp("finished"))
    return run_calibration(MUTATIONS, files, parallel=2), files


def test_the_results_say_who_solved_and_how_often(finished):
    done, files = finished
    results = results_without_times(files)
    assert results["solver"]["name"] == "mutations" and results["solver"]["model"] == ""
    passed = [attempt["passed"] for attempt in results["attempts"]]
    assert results["passed"] == sum(passed) and results["runs"] == len(passed) == 6
    assert sum(results["failures"].values()) == 6 - results["passed"]
    summary = Path(files.summary).read_text()
    assert "no model" in summary and f"{results['passed']} of 6" in summary and results["verdict"] in summary
    assert not Path(files.checkpoints).exists() and done.rate.passed == results["passed"]


def test_every_attempt_has_the_verdict_of_its_edit(finished):
    from rlvr.repair.forgeries import KNOWN

    known = {submission.name: submission for submission in KNOWN}
    for attempt in results_without_times(finished[1])["attempts"]:
        edit = known[attempt["label"]]
        assert attempt["passed"] == edit.passes
        kinds = ("untouched",) if edit.name == "untouched" else edit.kinds
        assert attempt["kind"] in (kinds or ("",))


def test_results_do_not_depend_on_the_slots_nor_on_a_cut(finished, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    files = files_in(tmp_path)
    kept = calibration._Checkpoints.keep

    def cut(self, record):
        kept(self, record)
        if record.number == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(calibration._Checkpoints, "keep", cut)
    with pytest.raises(KeyboardInterrupt):
        run_calibration(MUTATIONS, files, parallel=1)
    monkeypatch.setattr(calibration._Checkpoints, "keep", kept)
    damaged, *_ = Path(files.checkpoints).rglob("attempt000001.json")
    damaged.write_text(damaged.read_text()[:40])
    caplog.clear()
    run_calibration(MUTATIONS, files, parallel=3)
    assert "going on after 3 finished attempts" in caplog.text and "is unreadable" in caplog.text
    assert "attempt 1/6" not in caplog.text and "attempt 2/6" in caplog.text
    assert results_without_times(files) == results_without_times(finished[1])
    assert Path(files.transcripts).read_bytes() == Path(finished[1].transcripts).read_bytes()


def test_what_an_orphan_has_calibrated_is_only_written_again(finished, tmp_path, monkeypatch):
    files = files_in(tmp_path)
    with orphaned(monkeypatch):
        run_calibration(MUTATIONS, files, parallel=2)
    monkeypatch.setattr(calibration, "solve_and_grade", None)
    run_calibration(MUTATIONS, files, parallel=2)
    assert results_without_times(files) == results_without_times(finished[1])
    assert not Path(files.checkpoints).exists()


def test_more_runs_go_on_and_another_seed_starts_anew(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "checkpoints"
    first = calibration._Checkpoints(folder, MUTATIONS)
    assert calibration._Checkpoints(folder, replace(MUTATIONS, runs=60))._folder == first._folder
    first._folder.mkdir(parents=True)
    calibration._Checkpoints(folder, replace(MUTATIONS, seed=4))
    assert "belong to another setting or code" in caplog.text and not first._folder.exists()


def test_transcripts_are_kept_by_number(finished):
    rows = list(read_jsonl(finished[1].transcripts))
    assert [row["number"] for row in rows] == list(range(6)) and {row["label"] for row in rows} <= set(
        WEIGHTS
    )


def test_the_mutations_are_a_distribution_with_a_quarter_of_right_edits():
    assert sum(WEIGHTS.values()) == pytest.approx(1.0) and design_success_rate() == pytest.approx(0.25)
    labels, again, other = (
        [MutationSolver(seed).draw(number).name for number in range(1000)] for seed in (0, 0, 1)
    )
    assert labels == again != other
    for name, weight in WEIGHTS.items():
        assert labels.count(name) / 1000 == pytest.approx(
            weight, abs=4 * (weight * (1 - weight) / 1000) ** 0.5
        )


def test_a_mutation_is_written_and_named(tmp_path):
    (transcript,) = MutationSolver(0).solve([Attempt(7, tmp_path / "w")])
    assert (
        transcript.label == MutationSolver(0).draw(7).name and (tmp_path / "w" / "test_dropout.py").is_file()
    )


def test_a_model_solver_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="needs a model"):
        run_calibration(replace(MUTATIONS, solver="engine"), files_in(tmp_path))


def test_the_file_is_plain_json(finished):
    json.loads(Path(finished[1].results).read_text(), parse_constant=pytest.fail)
