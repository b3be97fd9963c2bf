import csv
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import pytest

from rlvr.__main__ import main
from rlvr.advantage_study.log import read_statistics
from rlvr.advantage_study.methods import Method
from rlvr.advantage_study.problem import REFERENCE_PROBLEM, run_problem

COMMAND = [sys.executable, "-m", "rlvr", "advantage"]


def score_of(text):
    found = re.fullmatch(r"score (-?\d+\.\d+)", text.splitlines()[-1])
    assert found, text
    return float(found[1])


@pytest.mark.parametrize(
    ("options", "method"),
    [
        (["--tracker", "batch"], Method("batch", 32, 16, 0.9, 1e-7)),
        (["--tracker", "buffer"], Method("buffer", 32, 16, 0.9, 1e-7)),
        (
            ["--tracker", "buffer", "--buffer-size", "8", "--min-count", "2"],
            Method("buffer", 8, 2, 0.9, 1e-7),
        ),
        (["--tracker", "ema", "--decay", "0.5", "--min-count", "3"], Method("ema", 32, 3, 0.5, 1e-7)),
    ],
)
def test_the_last_line_is_the_score_of_the_run(options, method, capsys):
    assert main(["advantage", *options, "--epochs", "30", "--seed", "3"]) == 0
    printed = capsys.readouterr()
    run = run_problem(replace(REFERENCE_PROBLEM, epochs=30), method, 3)
    assert score_of(printed.out) == run.score == pytest.approx(run.rewards[-10:].mean())
    assert printed.err == ""  # no progress bar: this is no terminal


def test_the_default_is_the_whole_problem(capsys):
    assert main(["advantage", "--tracker", "batch"]) == 0
    run = run_problem(REFERENCE_PROBLEM, Method("batch", 32, 16, 0.9, 1e-7), 1)
    assert len(run.rewards) == 1000 and score_of(capsys.readouterr().out) == run.score


def test_a_log_directory_gets_the_files(tmp_path, capsys):
    folder = tmp_path / "a" / "log"
    assert main(["advantage", "--tracker", "ema", "--epochs", "12", "--logdir", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["rewards.csv", "scores.csv", "statistics.npz"]
    assert read_statistics(folder / "statistics.npz").mean.shape == (1, 12, 64)
    with (folder / "scores.csv").open(newline="") as table:
        (row,) = csv.DictReader(table)
    assert row["seed"] == "1" and float(row["score"]) == score_of(capsys.readouterr().out)


def test_a_terminal_gets_a_progress_bar_on_standard_error():
    ours, theirs = pty.openpty()
    command = [*COMMAND, "--tracker", "batch", "--epochs", "20"]
    environment = {**os.environ, "TERM": "xterm"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=theirs, check=True, text=True, env=environment
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the end of a terminal that nobody writes to
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert b"20/20" in shown
    assert score_of(done.stdout) < 0 and len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("wrong", "allowed"),
    [
        (["--tracker", "mean"], "buffer"),
        (["--decay", "1"], "less than 1"),
        (["--decay", "nan"], "less than 1"),
        (["--decay", "-0.1"], "less than 1"),
        (["--buffer-size", "0"], "a whole number 1 to"),
        (["--min-count", "1.5"], "a whole number 1 to"),
        (["--epochs", "0"], "a whole number 1 to"),
        (["--seed", "-1"], "a whole number 0 or more"),
    ],
)
def test_a_bad_value_names_its_option_and_what_is_allowed(wrong, allowed, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["advantage", "--tracker", "buffer", *wrong])
    message = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 2 and f"argument {wrong[0]}: " in message and allowed in message


def test_more_rewards_than_a_buffer_holds_are_refused(capsys):
    assert main(["advantage", "--tracker", "buffer", "--buffer-size", "8"]) == 1
    assert capsys.readouterr().err == "error: argument --min-count: 16: allowed is 1 to --buffer-size (8)\n"
    # an EMA has no buffer
    assert main(["advantage", "--tracker", "ema", "--buffer-size", "8", "--epochs", "1"]) == 0


def test_a_log_directory_that_cannot_be_is_refused_before_the_run(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        assert main(["advantage", "--tracker", "buffer", "--logdir", str(folder)]) == 1
        printed = capsys.readouterr()
        assert printed.err.startswith(f"error: argument --logdir: {folder}: ") and printed.out == ""


def test_the_tracker_must_be_named(capsys):
    with pytest.raises(SystemExit):
        main(["advantage"])
    assert "--tracker" in capsys.readouterr().err


def test_help_imports_no_numpy_and_a_run_no_torch():
    code = (
        "import sys\nfrom rlvr.__main__ import main\n"
        "try:\n    main(['advantage', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'numpy' not in sys.modules\n"
        "main(['advantage', '--tracker', 'buffer', '--epochs', '2'])\n"
        "heavy = {'torch', 'pandas', 'scipy', 'rich'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
