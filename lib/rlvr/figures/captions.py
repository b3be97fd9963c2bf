"""The figures of the precision study: names, titles and captions. Light: it imports no matplotlib."""

CAPTIONS: dict[str, tuple[str, str]] = {
    "delta_by_task": (
        "Gain by task",
        "ΔJ, accuracy minus the base's, in points. Open marks: each seed. Filled mark and bar: mean and t"
        " interval over seeds, the sampling error of the base included where it is known (more than one "
        "sample per problem).",
    ),
    "variance_ratio": (
        "Variability over seeds, off-task",
        "Variance of ΔJ over seeds of each arm over the reference's, by off-task and pooled (geometric "
        "mean). Left after equally many steps, right at equal on-task progress. Bars: intervals "
        "by inversion of the permutation test, Miller's jackknife over runs when pooled. Solid line: "
        "equal variances; dashed line: the smallest ratio that counts. No mark: the task is near floor or "
        "ceiling, or an arm does not vary on it.",
    ),
    "kl_by_task": (
        "KL to the base, on and off task",
        "Full-vocabulary KL(policy ‖ base) per response, sampled at temperature 1, log scale. Open marks:"
        " each seed. Filled marks: geometric mean over seeds.",
    ),
    "kl_drift": (
        "Drift from the base during training",
        "KL to the base (k3 estimator) on a step's training rollouts, before its update, in the first "
        "step and every `kl_every_steps`: on-task "
        "prompts only, those of the groups that were kept, not the snapshots and not the evaluation "
        "tasks. Thin lines: each seed; thick lines: mean. Rolling mean over a 24th of these steps.",
    ),
    "kl_snapshots": (
        "Drift from the base at the snapshots",
        "Full-vocabulary KL(policy ‖ base) per response on held-out problems, sampled at temperature 1, "
        "of the weights kept during training and of the last step. Lines: mean over seeds; marks: each "
        "seed.",
    ),
    "progress_paths": (
        "Where the checkpoints went",
        "Left: on-task gain against on-task KL; right: mean KL over the off-tasks against on-task KL; "
        "both of the snapshots and the last step. Marks: each seed; lines: mean over seeds, step by step,"
        " from the base at the origin. On a vertical line arms have made equal progress, whatever the "
        "number of their steps.",
    ),
    "lost_update": (
        "Updates that the stored weights did not take",
        "‖intended − applied‖ / ‖intended‖, both summed up from the first step on: intended, the updates "
        "that AdamW computes in fp32; applied, the change of the stored weights. Over a seeded choice of "
        "weights of each tensor (tracked_updates). Kahan write-back keeps the rest in its buffer. Thin "
        "lines: each seed; thick lines: mean.",
    ),
    "sparsity": (
        "Weights that training left unchanged",
        "Share of weights equal to the base's when both are viewed in bf16. Bar: mean over seeds; marks: "
        "each seed.",
    ),
    "sparsity_by_layer": (
        "Weights left unchanged, by layer and kind of matrix",
        "Share of weights equal to the base's when both are viewed in bf16, over all weights of a kind in "
        "a layer and over the seeds of an arm.",
    ),
    "moved_weights": (
        "Movable and moved",
        "By kind of matrix, over all weights of a kind. Open marks: share of weights whose bf16 view "
        "differs from the base's after training, each seed; filled marks: mean. Dashes: share that a "
        "single step of the size of the learning rate can move in the dtype of the master weights, "
        "computed from the base.",
    ),
    "spectral_shift": (
        "Spectrum and top subspaces, against changes without direction",
        "Left: normalised shift of the singular values, ‖σ(W) − σ(W₀)‖ / ‖σ(W₀)‖; right: mean principal "
        "angle between the top left singular subspaces. Both divided by their mean over isotropic "
        "Gaussian changes of the same Frobenius norm; geometric mean over the matrices of a kind, each "
        "counted once. Open marks: each seed; filled marks: mean over seeds. Below the line: training "
        "moved them less than chance would.",
    ),
    "overlap_of_updates": (
        "Weights that two runs changed in common",
        "Jaccard index |A ∩ B| / |A ∪ B| of the weights that two runs changed in bf16 view. Open marks: "
        "each pair of runs; filled: mean. Bars: what independent changes would give, with the number of "
        "changed weights kept (uniform); with each weight's chance by tensor and magnitude kept too; and "
        "with its place in the bf16 rounding cell kept as well. Compare with the null by magnitude where "
        "the base is stored in bf16 (the last two are then equal), by rounding cell where it is stored in "
        "a finer format.",
    ),
    "training_curves": (
        "Training curves",
        "Mean over seeds, with a band of ± one standard deviation. Rolling mean over a 24th of the steps "
        "that have a value (the KL has one every `kl_every_steps`)."
        " All are of the training rollouts of the step: reward and accuracy of every group that was "
        "sampled, KL and entropy of those that were kept.",
    ),
}
# The only list of figures: drawing, report and workflow take their names from here.
FIGURES = tuple(CAPTIONS)
# Drawn from the training runs and their weights; the others wait for the analysis of the evaluations.
TRAINING_FIGURES = (
    "kl_drift",
    "lost_update",
    "sparsity_by_layer",
    "moved_weights",
    "spectral_shift",
    "overlap_of_updates",
    "training_curves",
)
OUTCOME_FIGURES = tuple(figure for figure in FIGURES if figure not in TRAINING_FIGURES)
