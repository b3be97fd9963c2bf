"""TRL's half of bench/training_step.py: runs in an environment of its own, which has no rlvr.

    python trl_step.py FOLDER STEPS SETTING    # a policy in FOLDER/policy, problems in FOLDER/problems.json

Prints one line of JSON: seconds of each step, peak memory in MiB, mean reward of the first and the last step.
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

# What GRPOTrainer can be asked for that might make it faster; the bench takes the fastest.
SETTINGS = {
    "plain": {},
    "static cache": {"cache_implementation": "static"},
}


class Clock(TrainerCallback):
    """The time at the end of every step."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_begin(self, *_: object, **__: object) -> None:
        self.ends.append(time.perf_counter())

    def on_step_end(self, *_: object, **__: object) -> None:
        self.ends.append(time.perf_counter())


def main(folder: Path, steps: int, setting: str) -> None:
    torch.set_num_threads(1)
    problems = json.loads((folder / "problems.json").read_text())
    task = json.loads((folder / "task.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
    model = AutoModelForCausalLM.from_pretrained(folder / "policy", dtype=torch.float32)
    clock, rewards = Clock(), []

    def reward(completions: list[str], answer: list[str], **_: object) -> list[float]:
        scores = [1.0 if text == right else -1.0 for text, right in zip(completions, answer, strict=True)]
        rewards.append(sum(scores) / len(scores))
        return scores

    rows = task["prompts"] * task["samples"]
    config = GRPOConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=1,
        num_generations=task["samples"],
        max_completion_length=task["tokens"],
        max_steps=steps,
        learning_rate=task["learning_rate"],
        lr_scheduler_type="constant",
        beta=0.0,
        epsilon=0.2,
        epsilon_high=0.28,
        temperature=1.0,
        num_iterations=1,
        loss_type="dapo",
        max_grad_norm=1.0,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        logging_steps=1,
        disable_tqdm=True,
        dataloader_num_workers=0,
        seed=1,
        **SETTINGS[setting],
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=config,
        train_dataset=Dataset.from_list(problems),
        processing_class=tokenizer,
        callbacks=[clock],
    )
    trainer.train()
    seconds = [end - start for start, end in zip(clock.ends, clock.ends[1:], strict=False)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak, "reward": [rewards[0], rewards[-1]]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
