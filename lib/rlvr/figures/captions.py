"""The figures of the precision study: names, titles and captions. Light: it imports no matplotlib."""

CAPTIONS: dict[str, tuple[str, str]] = {
    "delta_by_task": (
        "Gain by task",
        "ΔJ, accuracy minus the base's, in points. Open marks: each seed. Filled mark and bar: mean and "
        "t interval over seeds, the sampling error of the base included where it is known (more than one "
        "sample per problem).",
    ),
    "variance_ratio": (
        "Variability over seeds, off-task",
        "Variance of ΔJ over seeds of each arm over the reference's, by off-task and pooled (geometric "
        "mean). Bars: F intervals by task, Miller's jackknife over runs when pooled. Solid line: equal "
        "variances; dashed line: the smallest ratio that counts.",
    ),
    "kl_by_task": (
        "KL to the base, on and off task",
        "Full-vocabulary KL(policy ‖ base) per response, sampled at temperature 1, log scale. Open "
        "marks: each seed. Filled marks: geometric mean over seeds.",
    ),
    "kl_drift": (
        "Drift from the base during training",
        "KL to the base (k3 estimator) on each step's training rollouts, before its update: on-task prompts "
        "only, those of the groups that were kept, not the snapshots and not the evaluation tasks. Thin "
        "lines: each seed; thick lines: mean. Rolling mean over a 24th of the steps.",
    ),
    "kl_snapshots": (
        "Drift from the base at the snapshots",
        "Full-vocabulary KL(policy ‖ base) per response on held-out problems, sampled at temperature 1, of "
        "the weights kept during training and of the last step. Lines: mean over seeds; marks: each seed.",
    ),
    "sparsity": (
        "Weights that training left unchanged",
        "Share of weights equal to the base's when both are viewed in bf16. Bar: mean over seeds; marks: "
        "each seed.",
    ),
    "training_curves": (
        "Training curves",
        "Mean over seeds, with a band of ± one standard deviation. Rolling mean over a 24th of the "
        "steps. All are of the training rollouts of the step: reward and accuracy of every group that was "
        "sampled, KL and entropy of those that were kept.",
    ),
}
# The only list of figures: drawing, report and workflow take their names from here.
FIGURES = tuple(CAPTIONS)
