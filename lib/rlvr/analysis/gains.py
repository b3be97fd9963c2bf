"""Which interval of a gain is shown, in figures and tables alike."""

import pandas as pd

WITH_BASE = "seeds_and_base"


def gain_rows(arms: pd.DataFrame) -> pd.DataFrame:
    """The row of mean ΔJ for each arm and task of `arms.csv`, indexed by (arm, task).

    Its interval includes the base's sampling error where that is known, and is over seeds only elsewhere: a
    base with one sample per problem of a task has no sampling error there. Column `with_base` says which.
    """
    gains = arms[arms["metric"] == "delta_points"]
    gains = gains.assign(with_base=gains["interval"] == WITH_BASE)
    return (
        gains.sort_values("with_base", kind="stable")
        .groupby(["arm", "task"], sort=False)
        .tail(1)
        .set_index(["arm", "task"])
    )
