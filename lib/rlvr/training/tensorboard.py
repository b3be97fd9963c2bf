"""TensorBoard event files of runs that have ended."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from rlvr.files import atomic_path
from rlvr.sigterm import noted_sigterm

Row = Mapping[str, Any]


def write_tensorboard(folder: str | Path, rows: Sequence[Row]) -> None:
    """Write the numbers of each row at its `step`, as scalars named after the columns.

    What is no number, or NaN, is left out.
    """
    with atomic_path(folder) as temporary:
        _write_events(temporary, {"": rows})


def write_tensorboard_by_seed(folder: str | Path, runs: Mapping[int, Mapping[str, Sequence[Row]]]) -> None:
    """Write a folder `seed{seed}` for each seed; tables by what goes before the names of scalars."""
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        for seed, tables in runs.items():
            _write_events(temporary / f"seed{seed}", tables)


def _write_events(folder: Path, tables: Mapping[str, Sequence[Row]]) -> None:
    from tensorboardX import SummaryWriter

    # The writer has a thread and locks: an exception while it holds one would make its end wait for ever.
    with noted_sigterm("when it has written these events"), SummaryWriter(logdir=str(folder)) as writer:
        for prefix, rows in tables.items():
            for row in rows:
                for key, value in row.items():
                    if key != "step" and _is_number(value):
                        writer.add_scalar(f"{prefix}{key}", value, global_step=row["step"])


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)
