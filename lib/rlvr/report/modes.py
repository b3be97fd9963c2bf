"""The comparison of the modes in one table: what each gained, how far it moved, what it lost."""

import pandas as pd

from rlvr.report.page import Table, number

# Column of modes.csv -> its head in the table, the factor to the unit there, and the pattern of a number.
COLUMNS = {
    "on_task_delta_points": ("on-task ΔJ", 1, "{:+.1f}"),
    "on_task_delta_sd": ("its sd over seeds", 1, "{:.2f}"),
    "off_task_delta_points": ("off-task ΔJ", 1, "{:+.1f}"),
    "off_task_delta_sd": ("its sd over seeds", 1, "{:.2f}"),
    "on_task_kl": ("on-task KL", 1, "{:.3f}"),
    "off_task_kl": ("off-task KL", 1, "{:.3f}"),
    "sparsity": ("unchanged in bf16, %", 100, "{:.1f}"),
    "movable": ("movable by one step, %", 100, "{:.1f}"),
    "training_accuracy": ("training accuracy, %", 100, "{:.1f}"),
    "lost_update": ("intended update not applied, %", 100, "{:.1f}"),
    "second_moments_stuck": ("stuck second moments, %", 100, "{:.1f}"),
    "logprob_mismatch_mean": ("engine/trainer mismatch, nats a token", 1, "{:.2g}"),
    "updates_skipped": ("updates skipped", 1, "{:.3g}"),
    "seconds": ("training, s", 1, "{:.0f}"),
}


def modes_table(modes: pd.DataFrame) -> Table:
    """A row for each arm; `modes`: the rows of modes.csv."""
    rows = tuple(
        (
            row["arm"],
            *(number(factor * row[name], pattern) for name, (_, factor, pattern) in COLUMNS.items()),
        )
        for row in modes.to_dict("records")
    )
    caption = (
        "The modes side by side (modes.csv): means over seeds, off-task numbers over tasks too; KL in nats "
        "per response. What is right of the movable share comes from each run's metrics: accuracy over the "
        "last tenth of the steps, the lost update and the stuck moments at the last step, the mismatch a "
        "mean over steps, skipped updates and seconds sums"
    )
    return Table(caption, ("arm", *(words for words, _, _ in COLUMNS.values())), rows)
