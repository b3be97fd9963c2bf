"""The figures of the advantage study: names, titles and captions. Light: it imports no matplotlib."""

ADVANTAGE_CAPTIONS: dict[str, tuple[str, str]] = {
    "advantage_reward_curves": (
        "Reward by epoch",
        "Mean reward of an epoch on the reference problem, 0 being the best: mean over the seeds with its "
        "interval as a band. Each seed's curve is first smoothed, by a centred mean over a 24th of the "
        "epochs. The axis is logarithmic in the distance from 0.",
    ),
    "advantage_scores": (
        "Final reward by method",
        "Mean reward of the last epochs. Open marks: the seeds; filled marks and bars: their mean with its "
        "interval. Below the line: the variants. The axis is logarithmic in the distance from 0.",
    ),
    "advantage_decays": (
        "Final reward by decay",
        "Mean over the seeds with its interval, by the decay of the moving average; the smaller 1 − decay, "
        "the longer its memory. Lines with bands: batch statistics, and the buffer, with their intervals. "
        "The axis is logarithmic in the distance from 0.",
    ),
    "advantage_sweep": (
        "Final reward by buffer size and least count",
        "Mean over the seeds that all cells share; lighter is better. Framed: the buffer of the comparison. "
        "Empty: a buffer that cannot hold the least count.",
    ),
    "advantage_prompt_statistics": (
        "Statistics of single prompts over time",
        "Mean and standard deviation (the band is the mean ± one) that the buffer and a moving average hold "
        "of the rewards of single prompts, after each epoch of one seed. Both meet the same prompts, draws "
        "and noise; the prompts are the first that were drawn. Linear axis from −10 on, logarithmic below.",
    ),
    "advantage_grpo": (
        "GRPO by estimator of the advantage",
        "Left: training reward by step, mean over the seeds with a band from the lowest seed to the highest, "
        "each seed's curve smoothed by a centred mean over a 24th of the steps. Right: held-out accuracy "
        "before training (open marks) and after it (filled marks with the interval; small dots: the seeds).",
    ),
}

# What is drawn from the runs of GRPO, and from the reference problem.
ESTIMATOR_FIGURES = ("advantage_grpo",)
REFERENCE_FIGURES = tuple(name for name in ADVANTAGE_CAPTIONS if name not in ESTIMATOR_FIGURES)
