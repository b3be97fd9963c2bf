"""The figures of a made-up study, what is on them, and the script that draws one log folder."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from synthetic_advantage import (
    EPOCHS,
    METHODS,
    Study,
    write_advantage_study,
    write_estimator,
    write_scores,
    write_statistics,
)

from rlvr.advantage_study.cli import EPS
from rlvr.advantage_study.log import MethodFiles
from rlvr.advantage_study.methods import Method
from rlvr.advantage_study.problem import REFERENCE_PROBLEM
from rlvr.advantage_study.run import run_method
from rlvr.figures import prompt_statistics
from rlvr.figures.advantage import decays, draw_reference_figures, final_scores, sweep
from rlvr.figures.advantage_captions import ADVANTAGE_CAPTIONS
from rlvr.figures.style import style


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = write_advantage_study(tmp_path_factory.mktemp("advantage"))
    study.analyse()
    return study


@pytest.fixture(scope="module")
def methods(study):
    return pd.read_csv(study.analysis.methods)


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_every_figure_is_drawn_for_screen_and_print_with_its_numbers(study, tmp_path):
    study.draw(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    kinds = ("svg", "pdf", "csv")
    assert names == sorted(f"{name}.{kind}" for name in ADVANTAGE_CAPTIONS for kind in kinds)


def test_captions_need_no_matplotlib():
    names = "import sys, rlvr.figures.advantage_captions, rlvr.advantage_study.files"
    code = f"{names}; assert not {{'matplotlib', 'pandas', 'torch'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_scores_are_drawn_of_all_but_the_sweep(study, methods):
    with style():
        (axes,) = final_scores(pd.read_csv(study.analysis.scores), methods).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [one.name for one in METHODS if one.part != "sweep"]
    seeds = pd.read_csv(study.folder / "reference" / "batch" / "scores.csv")["score"]
    np.testing.assert_allclose(axes.lines[0].get_xdata(), seeds, rtol=1e-9)


def test_decays_stand_at_their_memory(methods):
    with style():
        (axes,) = decays(methods).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.5", "0.9"]
    np.testing.assert_allclose(axes.get_xticks(), [2, 10])


def test_the_sweep_has_the_buffer_and_no_impossible_cell(study):
    scores = pd.read_csv(study.analysis.scores)
    scores.loc[scores["method"].eq("buffer-8-4") & scores["seed"].eq(4), "score"] = np.nan
    with style():
        axes = sweep(scores).axes[0]
    means = scores[scores["seed"] < 4].groupby("method")["score"].mean()
    cells = (means["buffer-8-4"], means["buffer-32-4"], means["buffer"])
    shown = [text for text in texts(axes) if text]
    assert shown == [f"{mean:.1f}".replace("-", "−") for mean in cells]


def test_missing_runs_leave_the_other_curves(tmp_path):
    study = write_advantage_study(tmp_path / "study")
    for name in ("ema-0.5", "buffer-8-4"):
        write_scores(study.folder / "reference" / name / "scores.csv", {})
        (study.folder / "reference" / name / "rewards.csv").write_text("seed,epoch,reward\n")
    write_statistics(study.folder / "reference" / "buffer" / "statistics.npz", [])
    write_estimator(study.folder, "batch", {})
    study.analyse()
    study.draw(tmp_path / "figures")
    assert "no seed has statistics" in _words(tmp_path / "figures" / "advantage_prompt_statistics.svg")


def _words(svg):
    """The comments of an SVG, in which matplotlib leaves the text that it draws as outlines."""
    return " ".join(line.strip()[5:-4] for line in svg.read_text().splitlines() if "<!-- " in line)


@pytest.fixture
def logdir(tmp_path):
    write_statistics(tmp_path / "statistics.npz", [3, 5])
    return tmp_path


def test_the_script_draws_prompts_of_a_seed(logdir, capsys):
    assert prompt_statistics.main([str(logdir), "--prompts", "3", "--seed", "5"]) == 0
    output = logdir / "prompt_statistics.svg"
    assert capsys.readouterr().out == f"{output}\n"
    words = _words(output)
    assert "prompt0of5" in words and "prompt2of5" in words and "prompt3of5" not in words
    assert "seed 5" in words


def test_mean_and_band_are_those_of_the_file(logdir):
    statistics = prompt_statistics.load_statistics(logdir / "statistics.npz")
    with style():
        figure = prompt_statistics.draw_prompts({"a": (statistics, 1)}, ["prompt1of5"])
    (axes,) = figure.axes
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xdata(), np.arange(1, EPOCHS + 1))
    np.testing.assert_allclose(line.get_ydata(), statistics.mean[1, :, 1])
    edge = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert edge.min() == pytest.approx(statistics.mean[1, 0, 1] - 3)
    assert edge.max() == pytest.approx(statistics.mean[1, -1, 1] + 3)


@pytest.mark.parametrize("tracker", ["batch", "ema"])
def test_the_script_draws_what_the_command_logs(tracker, tmp_path):
    run_method(REFERENCE_PROBLEM, Method(tracker, 32, 16, 0.9, EPS), [1], MethodFiles.in_folder(tmp_path))
    output = tmp_path / "new" / "figure.png"
    assert prompt_statistics.main([str(tmp_path), "--output", str(output)]) == 0
    assert output.read_bytes().startswith(b"\x89PNG")


NO_NPZ = "this is no npz file of prompt statistics"


def _cut(path):
    path.write_bytes(path.read_bytes()[:200])


def _junk(path):
    path.write_text("junk")


def _plain_array(path):
    with path.open("wb") as file:
        np.save(file, np.arange(3))


def _other_arrays(path):
    np.savez(path, a=1)


@pytest.mark.parametrize(
    ("spoil", "arguments", "message"),
    [
        (lambda path: path.unlink(), [], "no such file; `python -m rlvr advantage --logdir"),
        (_junk, [], NO_NPZ),
        (lambda path: path.write_bytes(b""), [], NO_NPZ),
        (_cut, [], NO_NPZ),
        (_plain_array, [], NO_NPZ),
        (_other_arrays, [], "no array count, epoch, mean, prompt, seed, std; it has a"),
        (lambda path: None, ["--seed", "4"], "no seed 4; it has 3, 5"),
        (lambda path: None, ["--output", "a.gif"], "allowed are names that end in .svg, .pdf, .png"),
    ],
)  # fmt: skip
def test_what_the_script_cannot_draw(logdir, spoil, arguments, message, capsys):
    spoil(logdir / "statistics.npz")
    assert prompt_statistics.main([str(logdir), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not (logdir / "prompt_statistics.svg").exists()


def test_no_prompts_are_refused(logdir, capsys):
    with pytest.raises(SystemExit):
        prompt_statistics.main([str(logdir), "--prompts", "0"])
    assert "allowed is a whole number from 1 on" in capsys.readouterr().err


def test_files_must_belong_to_methods(study, tmp_path):
    fewer = Study(study.folder, study.methods[:-1])
    inputs = study.figure_inputs()
    wrong = type(inputs)(**{**vars(inputs), "rewards": fewer.reference("rewards.csv")})
    with pytest.raises(ValueError, match="shorter"):
        draw_reference_figures(wrong, tmp_path)
