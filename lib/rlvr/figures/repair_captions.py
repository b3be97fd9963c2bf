"""The figures of the repair study: names, titles and captions. Light: it imports no matplotlib."""

REPAIR_CAPTIONS: dict[str, tuple[str, str]] = {
    "repair_calibration": (
        "Calibration",
        "Left: the success rate of the solver with its Wilson interval; grey, between the dashed lines: the "
        "target. Right: the failed attempts by kind.",
    ),
    "repair_variance_error": (
        "Variance error by drop rate: theory against measurement",
        "Relative error of the output's variance. Lines: theory; marks: measured with 10,000 × 128 inputs "
        "from seed 42. Grey: the grader's tolerance of ±10 %. Linear scale within it, logarithmic beyond. "
        "The scale 1/√keep preserves the variance of inputs of mean zero only.",
    ),
}
