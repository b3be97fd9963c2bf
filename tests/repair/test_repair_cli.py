import re
import subprocess
import sys
from pathlib import Path

import pytest

from rlvr.__main__ import main
from rlvr.files import read_json
from rlvr.repair import api_chats

DOCS = Path(__file__).parents[2] / "docs" / "repair.md"


def run(*arguments):
    command = [sys.executable, "-m", "rlvr", "repair", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_demo_shows_the_bug_failing_and_the_fix_passing():
    done = run("demo")
    assert done.returncode == 0, done.stderr
    assert (
        "scale = 1.0 / keep_prob: FAILED" in done.stdout and "1.0 / np.sqrt(keep_prob): passed" in done.stdout
    )
    assert [f"off by +{error} %" in done.stdout for error in ("43.0", "100.2", "233.8", "0.1")] == [True] * 4


def test_validate_writes_its_files_and_says_whose_rate_it_is(tmp_path):
    done = run("validate", "--runs", "3", "--output-dir", str(tmp_path / "out"), "--seed", "5")
    assert done.returncode == 0, done.stderr
    assert "mutations: " in done.stdout and "of 3 passed" in done.stdout and "attempt 3/3" in done.stderr
    names = ["VALIDATION_RESULTS.md", "provenance.json", "transcripts.jsonl.gz", "validation_results.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert read_json(tmp_path / "out" / "validation_results.json")["solver"]["seed"] == 5


def test_a_mistake_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(api_chats.ANTHROPIC_KEY, raising=False)
    monkeypatch.setattr(api_chats, "_client_package", lambda name: None)
    arguments = ["--runs", "1", "--output-dir", str(tmp_path), "--solver", "anthropic", "--model", "m"]
    assert main(["repair", "validate", *arguments]) == 1
    assert re.fullmatch(r"error: .*ANTHROPIC_API_KEY\n", capsys.readouterr().err)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["repair", "validate", "--runs", "1", "--output-dir", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err == f"error: argument --output-dir: {tmp_path / 'file'}: File exists\n"


@pytest.mark.parametrize(
    "wrong", [["--runs", "0"], ["--turns", "4"], ["--temperature", "-1"], ["--seed", "x"]]
)
def test_numbers_out_of_bounds_are_refused(wrong, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["repair", "validate", "--runs", "1", "--output-dir", str(tmp_path), *wrong])
    said = capsys.readouterr().err
    assert wrong[0] in said
    assert "inf" not in said


def test_help_and_the_names_of_files_import_nothing_heavy():
    code = (
        "import sys\nfrom rlvr.__main__ import main\n"
        "for words in (['--help'], ['repair', '--help'], ['repair', 'validate', '--help']):\n"
        "    try:\n        main(words)\n    except SystemExit:\n        pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'statsmodels'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_grading_and_the_embedded_solver_import_no_torch():
    code = "import sys, rlvr.repair.cli, rlvr.repair.solvers\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_example_of_the_docs_learns():
    """The loop in docs/repair.md, as it stands there."""
    (example,) = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    variables = {"__name__": "example"}
    exec(compile(example, str(DOCS), "exec"), variables)
    assert variables["policy"].probabilities()[2] > 0.5
