"""Seconds of the decoder and of the native engine beside transformers, at the embedded default's sizes.

    python bench/decoder.py            # one thread; about a minute

Weights are random: training steps do not depend on them, and responses run to their full six tokens.
"""

import statistics
import tempfile
import time
from pathlib import Path

import torch
import yaml
from transformers import AutoModelForCausalLM

from rlvr.config.build import build
from rlvr.config.policy import ArchitectureConfig
from rlvr.data.families import family_problems
from rlvr.models.attention import AttentionDropout, _attend_explicitly
from rlvr.models.decoder import Decoder
from rlvr.models.loading import load_policy, load_tokenizer, save_policy
from rlvr.models.tiny import decoder_config, initialise
from rlvr.models.tokenizers import character_tokenizer
from rlvr.policy import get_response_log_probs
from rlvr.precision import Dropout
from rlvr.rollout.engine import GenerationRequest, SamplingParams
from rlvr.rollout.opening import open_engine

CONFIG = Path(__file__).parents[1] / "config.yaml"
ROWS, LENGTH = 128, 12


def milliseconds(task, repeats=9):
    """Median over the repeats, after one that is not counted."""
    task()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def report(name, value):
    print(f"{name:66s} {value:9.2f} ms")


def save_policy_of_default_size(folder):
    architecture = build(ArchitectureConfig, yaml.safe_load(CONFIG.read_text())["base"]["architecture"])
    tokenizer = character_tokenizer()
    model = Decoder(decoder_config(architecture, len(tokenizer)), torch.float32, torch.float32)
    initialise(model, architecture.init_std, seed=0)
    save_policy(model, tokenizer, folder, model.config.to_hf())


def bench_training(folder):
    ids = torch.randint(2, 24, (ROWS, LENGTH + 1), generator=torch.Generator().manual_seed(0))

    def step(model, **arguments):
        log_probs = get_response_log_probs(model, ids[:, :-1], ids[:, 1:], forward_kwargs=arguments)[
            "log_probs"
        ]
        log_probs.mean().backward()

    print(f"forward and backward of {ROWS} rows of {LENGTH} tokens")
    for master, compute in (("float32", "float32"), ("float32", "bfloat16"), ("bfloat16", "bfloat16")):
        ours = load_policy(folder, getattr(torch, master), getattr(torch, compute))
        report(f"  decoder, master {master}, compute {compute}", milliseconds(lambda m=ours: step(m)))
    dropout = AttentionDropout(Dropout("standard", 0.1), torch.Generator().manual_seed(0))
    report("  decoder, all bfloat16, attention dropout", milliseconds(lambda: step(ours, dropout=dropout)))
    for dtype in (torch.float32, torch.bfloat16):
        theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        report(f"  transformers, {dtype}", milliseconds(lambda m=theirs: step(m)))


def bench_attention():
    print("attention with 4 query and 2 key heads, forward and backward: fused / explicit")
    for rows, length in ((ROWS, LENGTH), (ROWS, 64), (16, 256)):
        for dtype in (torch.float32, torch.bfloat16):
            queries, keys, values = (
                torch.randn(rows, length, heads, 16, dtype=dtype).transpose(1, 2).requires_grad_()
                for heads in (4, 2, 2)
            )

            def fused(q=queries, k=keys, v=values):
                torch.nn.functional.scaled_dot_product_attention(
                    q, k, v, is_causal=True, enable_gqa=True
                ).sum().backward()

            def explicit(q=queries, k=keys, v=values):
                _attend_explicitly(q, k, v, None, None).sum().backward()

            name = f"  {rows} rows of {length}, {dtype}"
            print(f"{name:66s} {milliseconds(fused):9.2f} / {milliseconds(explicit):.2f} ms")


def bench_rollouts(folder):
    model, tokenizer = load_policy(folder, torch.float32, torch.float32), load_tokenizer(folder)
    problems = family_problems("rot", "held_out")

    def sample(engine, prompts, samples, params):
        requests = [GenerationRequest(p.id, p.prompt, samples) for p in problems[:prompts]]
        return lambda: engine.generate(requests, params, seed=0)

    print("rollouts")
    for dtype in (torch.float32, torch.bfloat16):
        engine = open_engine(model, tokenizer, dtype, max_batch_rows=256)
        report(f"  32 prompts × 8, training, {dtype}", milliseconds(sample(engine, 32, 8, SamplingParams(6))))
    engine = open_engine(model, tokenizer, torch.float32, max_batch_rows=2048)
    evaluate = sample(engine, 512, 16, SamplingParams(6, temperature=0.7, top_p=0.8))
    report("  512 prompts × 16, evaluation, fp32", milliseconds(evaluate, repeats=3))
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompts = torch.tensor([tokenizer.encode(f"t:{1000 + index}=") for index in range(256)])

    def generate():
        with torch.inference_mode():
            theirs.generate(
                prompts,
                attention_mask=torch.ones_like(prompts),
                max_new_tokens=6,
                do_sample=True,
                pad_token_id=0,
            )

    report("  transformers' generate, 256 rows, float32", milliseconds(generate, repeats=3))


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        save_policy_of_default_size(Path(folder))
        bench_training(folder)
        bench_attention()
        bench_rollouts(folder)


if __name__ == "__main__":
    main()
