"""Seconds that the analysis of a large study takes, from evaluation files to tables, verdicts and figures.

    OMP_NUM_THREADS=1 python bench/analysis.py [--modes 20] [--seeds 50] [--figures] [--profile]

Writes a made-up study (`tests/synthetic_study.py`: six tasks, 120 training steps, two snapshots a run) to a
temporary folder and analyses it. With --figures the figures are drawn too; with --profile the functions that
took longest are listed.
"""

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from rlvr.analysis.study import analyse_precision_study
from rlvr.figures.draw import draw_outcome_figures, draw_training_figures
from rlvr.precision import resolve_mode

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from synthetic_study import CONFIG, DELTA, KL, TASKS, StudyOnDisk, write_study


def write_large_study(folder: Path, modes: int, seeds: int) -> StudyOnDisk:
    """The three arms that the made-up study has numbers for, and custom modes that have these numbers too."""
    arms = list(DELTA)[:modes]
    factors = asdict(resolve_mode("fp32", 0.0, {}))
    del factors["name"]
    custom = {f"noise{n}": factors | {"gradient_noise": n / 1024} for n in range(1, modes - len(arms) + 1)}
    for n, name in enumerate(custom):
        DELTA[name], KL[name] = DELTA[arms[n % len(arms)]], KL[arms[n % len(arms)]]
    return write_study(folder, (*arms, *custom), seeds, custom_modes=custom)


def timed(name: str, work: Callable[[], None], profile: bool) -> None:
    """Run `work` and print its seconds on the clock and of CPU."""
    profiler = cProfile.Profile() if profile else nullcontext()
    wall, cpu = time.perf_counter(), time.process_time()
    with profiler:
        work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name}: {cpu:.1f} s CPU, {wall:.1f} s wall", flush=True)
    if profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(50)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--modes", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--figures", action="store_true")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = write_large_study(folder, arguments.modes, arguments.seeds)
        print(f"{len(study.run_files)} runs", flush=True)

        def analyse() -> None:
            analyse_precision_study(
                CONFIG, TASKS[0], study.base_files, study.run_files, study.analysis, study.metrics_files,
                study.labels, study.provenance_files,
            )  # fmt: skip

        def draw_training() -> None:
            draw_training_figures(
                study.metrics_files, study.labels, study.geometry_files, study.overlap_file, folder
            )

        timed("analysis", analyse, arguments.profile)
        if arguments.figures:
            timed("training figures", draw_training, arguments.profile)
            timed(
                "outcome figures",
                lambda: draw_outcome_figures(study.analysis, CONFIG, folder),
                arguments.profile,
            )


if __name__ == "__main__":
    main()
