"""The figures of the alignment study: names, titles and captions. Light: it imports no matplotlib."""

_CURVES = (
    "Lines: mean over seeds; bands: lowest to highest seed; ×: the last validation of a seed that diverged. "
    "The last validation is on final_rows questions, those before on rows of them (alignment.validation), so "
    "that the last stretch also changes the questions."
)
_TRAINED = (
    " Gradient norms (before clipping), ratios and clipped shares are those of the training steps, averaged "
    "over a 24th of the run; log scale where gradient norms or ratios span a factor of 10."
)

ALIGNMENT_CAPTIONS: dict[str, tuple[str, str]] = {
    "zero_shot_categories": (
        "Zero-shot: where the reward is lost",
        "Responses of the untrained base by prompt: right, in the format but wrong, and not in the format, "
        "where the answer is never read.",
    ),
    "sft_sweep": (
        "SFT: learning rate and batch size",
        "Left: final accuracy; open marks: each seed, filled marks and bars: mean and t interval over seeds. "
        f"Right: validation on the way. {_CURVES}",
    ),
    "sft_sizes": (
        "SFT: number of examples",
        f"Validation by step, with equally many updates for every size. {_CURVES}",
    ),
    "sft_filtered": (
        "SFT: correct examples only",
        f"Validation by step: all examples, wrong answers included, against the correct ones. {_CURVES}",
    ),
    "expert_iteration": (
        "Expert iteration",
        "Validation by round: accuracy, entropy, length. Labels: responses to a question (G); batch, "
        f"questions of a round (D_b). Dashed: final mean of the best SFT arm. {_CURVES}",
    ),
    "grpo_loop": (
        "The default GRPO loop",
        "Validation by step. Entropy is the mean over the logged responses. Lengths are in tokens, of all "
        f"responses and of those that are right and wrong. {_CURVES}",
    ),
    "learning_rate": (
        "GRPO: learning rate",
        f"Validation accuracy and entropy, and the gradient norm. {_CURVES}{_TRAINED}",
    ),
    "baselines": (
        "GRPO: baseline and loss",
        f"Validation accuracy and entropy, and the gradient norm. {_CURVES}{_TRAINED}",
    ),
    "length_normalization": (
        "GRPO: length normalisation",
        "Validation accuracy and response length, and the gradient norm: a sum over a "
        f"constant and a mean over the tokens differ in scale. {_CURVES}{_TRAINED}",
    ),
    "std_normalization": (
        "GRPO: division by the group's standard deviation",
        f"Validation accuracy and entropy, and the gradient norm. {_CURVES}{_TRAINED}",
    ),
    "off_policy_broad": (
        "GRPO off policy: the broad sweep",
        "Accuracy by step (one rollout batch each) and by training time without validation; entropy beside "
        "that of expert iteration with its default settings; response length; clipped share of tokens. "
        f"Colour: size of the training batch; line: epochs on a rollout batch. {_CURVES}{_TRAINED}",
    ),
    "off_policy_focused": (
        "GRPO off policy: the focused sweep",
        "As the figure of the broad sweep, for the arms that were chosen after it and all steps. "
        f"{_CURVES}{_TRAINED}",
    ),
    "clip": (
        "GRPO off policy: with and without clipping",
        "Validation accuracy; the largest probability ratio of a step and the gradient norm; "
        f"the clipped share of tokens, which a loss that does not clip has not. {_CURVES}{_TRAINED}",
    ),
    "prompt": (
        "GRPO: prompt",
        f"Each prompt with its own reward and its own zero-shot start at step 0. {_CURVES}",
    ),
    "ranking": (
        "All arms, best first",
        "Final accuracy: mean and t interval over seeds. Open marks: the base before training, which has no "
        "seeds; ×: arms of which a seed diverged. The best of many arms is flattered by luck. After the "
        "method: the settings that differ from its default.",
    ),
}
