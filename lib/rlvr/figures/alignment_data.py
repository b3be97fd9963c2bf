"""The numbers that the figures of the alignment study show, as tables."""

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from rlvr.alignment.analysis.comparisons import best_arm
from rlvr.alignment.arms import DEFAULT
from rlvr.figures.alignment_curves import (
    ACCURACY,
    ACCURACY_BY_TIME,
    CLIPPED,
    ENTROPY,
    LENGTH,
    Panel,
    StudyTables,
)

DATA_COLUMNS = ["method", "arm", "seed", "step", "quantity", "value"]


def _long(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The columns that a table has, a value a row."""
    keys = [key for key in DATA_COLUMNS[:4] if key in table]
    there = [column for column in columns if column in table]
    return table.melt(keys, there, "quantity").reindex(columns=DATA_COLUMNS)


def panel_data(
    tables: StudyTables, method: str, arms: Collection[str], panels: Sequence[Panel]
) -> pd.DataFrame:
    """What panels show of arms: a row for each quantity, arm, seed and step, quantities by their columns."""
    found = [pd.DataFrame(columns=DATA_COLUMNS)]
    for kind in ("curves", "metrics"):
        shown = [panel for panel in panels if panel.table == kind]
        columns = dict.fromkeys(panel.column for panel in shown)
        columns |= dict.fromkeys(panel.over for panel in shown if panel.over != "step")
        table = getattr(tables, kind)
        found.append(_long(table[(table["method"] == method) & table["arm"].isin(arms)], list(columns)))
    return pd.concat([part for part in found if len(part)] or found[:1])


def experiment_data(tables: StudyTables, method: str, name: str, panels: Sequence[Panel]) -> pd.DataFrame:
    """`panel_data` of an experiment; empty where the config has no such."""
    experiment = tables.experiment(method, name)
    return panel_data(tables, method, experiment.arms if experiment else (), panels)


def arms_data(tables: StudyTables, method: str, arms: Collection[str | None]) -> pd.DataFrame:
    """Final accuracy of arms with its interval, as `panel_data` tells."""
    own = tables.arms[(tables.arms["method"] == method) & tables.arms["arm"].isin(arms)]
    return _long(own, ["accuracy_mean", "accuracy_low", "accuracy_high"])


def categories_data(categories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The shares of the kinds of responses to each prompt."""
    return pd.concat([table.assign(prompt=prompt) for prompt, table in categories.items()])


def sft_sweep_data(tables: StudyTables) -> pd.DataFrame:
    """The validations of the sweep, and each arm's final accuracy with its interval."""
    data = experiment_data(tables, "sft", "sweep", (ACCURACY,))
    return pd.concat([data, arms_data(tables, "sft", set(data["arm"]))])


def expert_iteration_data(tables: StudyTables) -> pd.DataFrame:
    """Accuracy, entropy and length of all arms, and the final accuracy of the best of SFT."""
    arms = tables.every_arm("expert_iteration")
    data = panel_data(tables, "expert_iteration", arms, (ACCURACY, ENTROPY, LENGTH))
    return pd.concat([data, arms_data(tables, "sft", {best_arm(tables.arms, "sft")})])


def off_policy_data(tables: StudyTables, name: str) -> pd.DataFrame:
    """What the panels show of the arms, and the entropy of expert iteration with its default settings."""
    panels = (ACCURACY, ACCURACY_BY_TIME, LENGTH, ENTROPY, CLIPPED)
    beside = panel_data(tables, "expert_iteration", [DEFAULT], (ENTROPY,))
    return pd.concat([experiment_data(tables, "grpo", name, panels), beside])
