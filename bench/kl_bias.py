"""The estimators k1 and k3 of KL(policy || base) beside the full-vocabulary KL, as responses are sampled.

    python bench/kl_bias.py [--problems results/default/data/eval/sort.jsonl]    # after `snakemake precision`

For temperature 1 and for the evaluation's 0.7 with top-p 0.8: means over responses, and the difference of k1
and k3 from the full KL that is measured on responses sampled at temperature 1, with its standard error
clustered by problem, in percent.
"""

import argparse
import math

import torch

from rlvr.data.problem import read_problems
from rlvr.evaluation.kl import measure_kl, summarise_kl
from rlvr.evaluation.records import KlResult
from rlvr.models.loading import load_policy, load_tokenizer
from rlvr.rollout.engine import SamplingParams
from rlvr.rollout.judged import draw_rollouts
from rlvr.rollout.opening import open_engine

FILES = {
    "policy": "results/default/precision/train/fp32/seed1/rep1/policy",
    "base": "results/default/base/policy",
    "problems": "results/default/data/eval/add.jsonl",
}
SAMPLED = {"temperature 1": (1.0, 1.0), "temperature 0.7, top-p 0.8": (0.7, 0.8)}


def measured(options: argparse.Namespace, temperature: float, top_p: float) -> KlResult:
    """Full KL, k1 and k3 on responses sampled in one way."""
    policy, base = (
        load_policy(path, torch.float32, torch.float32) for path in (options.policy, options.base)
    )
    tokenizer, problems = load_tokenizer(options.policy), read_problems(options.problems)
    params = SamplingParams(max_tokens=options.max_tokens, temperature=temperature, top_p=top_p)
    with open_engine(policy, tokenizer, torch.float32, 2048, share_weights=True) as engine:
        rollouts = draw_rollouts(problems, "plain", options.samples, params, engine, 0)
    found = measure_kl(policy, base, rollouts, tokenizer.pad_token_id, len(tokenizer), torch.device("cpu"))
    return summarise_kl("task", options.samples, rollouts, found)


def main() -> None:
    """Measure both ways of sampling and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, file in FILES.items():
        parser.add_argument(f"--{name}", default=file, help=f"default: {file}")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = {name: measured(options, *setting) for name, setting in SAMPLED.items()}
    truth = results["temperature 1"]
    for name, result in results.items():
        print(f"{name}: {result.problems} problems x {result.samples}, full KL {result.full:.4f} nats")
        for estimator in ("k1", "k3"):
            value, error = getattr(result, estimator), getattr(result, f"{estimator}_se")
            spread = 100 * math.hypot(error, truth.full_se) / truth.full
            off = 100 * (value / truth.full - 1)
            print(f"  {estimator} {value:.4f}, {off:+.1f} % from full at temperature 1 (se {spread:.1f} %)")


if __name__ == "__main__":
    main()
