"""`python -m rlvr power`: the standard errors and the power of a planned study, as text."""

from functools import partial

from rlvr.statistics.planning import (
    MOST_SEEDS,
    StudyPlan,
    bearable_sd,
    equivalence_seeds,
    gain_standard_error,
    new_problems_standard_error,
    variance_test_seeds,
)
from rlvr.statistics.power import (
    arms_equivalence_power,
    minimal_detectable_variance_ratio,
    permutation_detectable_variance_ratio,
    variance_test_power,
)
from rlvr.statistics.samples import POINTS

TEST_NAMES = {"f": "F test", "permutation": "permutation", "brown_forsythe": "Brown–Forsythe"}
UNKNOWN = "-"


def plan_table(plan: StudyPlan) -> str:
    """The whole answer, lines of at most 100 characters."""
    title = (
        f"{plan.seeds} seeds per arm, {plan.problems} problems × {plan.samples} samples at accuracy "
        f"{plan.accuracy:g}, {plan.tasks} off-tasks, level {plan.alpha:g}"
    )
    parts = (_errors(plan), _variances(plan), _means(plan))
    return "\n\n".join([title, *("\n".join(part) for part in parts)]) + "\n"


def _row(name: str, *cells: str, note: str = "") -> str:
    return f"  {name:<36}" + "".join(f"{cell:>15}" for cell in cells) + (f"   {note}" if note else "")


def _share(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %"


def _ratio(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"


def _seeds(value: int | None) -> str:
    return f"over {MOST_SEEDS}" if value is None else str(value)


def _errors(plan: StudyPlan) -> list[str]:
    sampling = plan.sampling_points
    problems = POINTS * new_problems_standard_error(plan.problems, plan.accuracy)
    gain = gain_standard_error(sampling, plan.base_samples_factor)
    return [
        "Standard errors of one run, in points (the most they can be at this accuracy)",
        _row("J, the same problems sampled anew", f"{sampling:.2f}", note="√(p(1−p)/(P·K))"),
        _row("J, other problems of the kind", f"{problems:.2f}", note="√(p(1−p)/P)"),
        _row("ΔJ, the same problems", f"{gain:.2f}", note=f"base with {plan.base_samples_factor} × samples"),
    ]


def _variances(plan: StudyPlan) -> list[str]:
    levels = (plan.alpha, plan.holm_alpha)
    permutation, f = permutation_detectable_variance_ratio, minimal_detectable_variance_ratio
    lines = [
        "H2, is one arm more variable? One-sided tests, normal data",
        _row("", f"level {levels[0]:.3g}", f"level {levels[1]:.3g}", note=f"(Holm's first of {plan.tasks})"),
        f"  smallest variance ratio found with {_share(plan.power, 0)} power",
    ]
    lines += [
        _row(f"  {name}", *(_ratio(find(plan.seeds, alpha, plan.power)) for alpha in levels))
        for name, find in ((TEST_NAMES["permutation"], permutation), (TEST_NAMES["f"], f))
    ]
    lines.append(f"  power at a variance ratio of {plan.ratio:g}")
    for test in ("permutation", "brown_forsythe", "f"):
        power_at = partial(variance_test_power, plan.seeds, plan.ratio, test=test)
        known = plan.seeds > 2 or test != "brown_forsythe"
        lines.append(
            _row(
                f"  {TEST_NAMES[test]}", *(_share(power_at(alpha)) if known else UNKNOWN for alpha in levels)
            )
        )
    lines.append(f"  seeds per arm that find {plan.ratio:g} with {_share(plan.power, 0)} power")
    needed = [variance_test_seeds(plan, alpha) for alpha in levels]
    lines += [
        _row(f"  {TEST_NAMES[test]}", *(_seeds(found[test]) for found in needed))
        for test in ("permutation", "brown_forsythe", "f")
    ]
    return lines


def _means(plan: StudyPlan) -> list[str]:
    score_sd, kl_margin = plan.score_sd, plan.log_kl_margin
    columns = ((score_sd, plan.margin), (plan.kl_sd, kl_margin))
    power = [arms_equivalence_power(plan.seeds, sd, margin, plan.alpha) for sd, margin in columns]
    bearable = [bearable_sd(plan.seeds, margin, plan.alpha, plan.power) for _, margin in columns]
    seeds = [equivalence_seeds(sd, margin, plan.alpha, plan.power) for sd, margin in columns]
    return [
        "H1 and H3, are the arms alike on-task? TOST (Welch) where they are, normal data",
        _row("", "H1: ΔJ", "H3: log KL"),
        _row("margin", f"±{plan.margin:.3g} points", f"±{kl_margin:.3g}", note=f"(log {plan.kl_ratio:g})"),
        _row("sd over seeds", f"{score_sd:.2f}", f"{plan.kl_sd:.3g}", note=_sd_note(plan)),
        _row("power", *map(_share, power)),
        _row(f"largest sd with {_share(plan.power, 0)} power", *(f"{sd:.3g}" for sd in bearable)),
        _row(f"seeds per arm for {_share(plan.power, 0)} power", *map(_seeds, seeds)),
    ]


def _sd_note(plan: StudyPlan) -> str:
    return f"(H1: seeds {plan.seed_sd:g}, sampling {plan.sampling_points:.2f})"
