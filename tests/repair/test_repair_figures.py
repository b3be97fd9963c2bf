from dataclasses import asdict

import pandas as pd
import pytest

from rlvr.figures.repair import calibration, draw_repair_figures, variance_error
from rlvr.figures.style import style
from rlvr.files import write_json
from rlvr.repair.tables import write_variance_table
from rlvr.repair.variance_table import VarianceRow

RESULTS = {
    "solver": {"name": "mutations", "model": ""}, "target": [0.1, 0.4], "runs": 15, "passed": 4,
    "rate": 4 / 15, "low": 0.109, "high": 0.52, "verdict": "undecided",
    "failures": {"variance": 8, "test_file": 3},
}  # fmt: skip


def test_both_figures_in_every_format_and_the_same_bytes_again(tmp_path):
    write_json(tmp_path / "results.json", RESULTS)
    write_variance_table(str(tmp_path / "variance.csv"))
    for folder in ("one", "two"):
        draw_repair_figures(tmp_path / "results.json", tmp_path / "variance.csv", tmp_path / folder)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    stems = ("repair_calibration", "repair_variance_error")
    assert names == sorted(f"{stem}.{suffix}" for stem in stems for suffix in ("svg", "pdf", "csv"))
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_calibration_shows_rate_interval_solver_and_failures():
    with style():
        rate, failures = calibration(RESULTS).axes
    rates = [line for line in rate.lines if list(line.get_ydata()) in ([0, 0], [0])]
    assert [list(line.get_xdata()) for line in rates] == [[0.109, 0.52], [4 / 15]]
    assert "mutations" in rate.get_yticklabels()[0].get_text() and "4 of 15" in rate.texts[0].get_text()
    assert [bar.get_width() for bar in failures.patches] == [8, 3]
    assert [label.get_text() for label in failures.get_yticklabels()] == ["variance", "test file"]


def test_without_a_failure_the_figure_says_so():
    with style():
        _, failures = calibration(RESULTS | {"failures": {}}).axes
    assert "no attempt failed" in failures.texts[0].get_text()


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_variance_error_draws_theory_as_line_and_measurement_as_marks(mean):
    rows = [VarianceRow("1/keep", mean, 0.1 * i, 0.2 * i, 0.21 * i) for i in range(1, 4)]
    with style():
        axes = variance_error(pd.DataFrame(map(asdict, rows))).axes[0]
    theory, measured = axes.lines[:2]
    assert list(theory.get_ydata()) == pytest.approx([20, 40, 60]) and theory.get_marker() == "None"
    assert list(measured.get_ydata()) == pytest.approx([21, 42, 63]) and measured.get_linestyle() == "None"
