"""A model that transformers computes trains in every precision mode."""

from dataclasses import asdict

import pytest
import torch
from small_models import save_reference
from tiny_run import make_files, make_job

from rlvr.data.families import family_problems
from rlvr.files import read_json, write_jsonl
from rlvr.models.loading import load_policy
from rlvr.models.tokenizers import character_tokenizer
from rlvr.models.weights import weight_hash
from rlvr.precision import MODES
from rlvr.training.run import train_policy


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A random GPT-2 over the families' characters, with the problems beside it."""
    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = character_tokenizer()
    save_reference(folder / "policy", "gpt2", tokenizer, vocab_size=len(tokenizer), eos_token_id=1)
    write_jsonl(folder / "train.jsonl", map(asdict, family_problems("max", "train")[:16]))
    return folder


@pytest.mark.parametrize("mode", list(MODES))
def test_gpt2_trains_in_every_mode(base, tmp_path, mode):
    job = make_job(
        mode,
        dropout_rate=0.0,
        steps=2,
        snapshot_steps=[],
        dynamic_sampling={"enabled": False, "max_rounds": 1},
        group_size=8,
        # Answers of a random model are all wrong; whether they end within the limit still tells them apart.
        overlong={"enabled": True, "buffer_tokens": 3, "penalty": 1.0},
    )
    train_policy(job, make_files(base, tmp_path))
    record = read_json(tmp_path / "provenance.json")
    factors = ("master", "optimizer_state", "compute", "reduce", "rollout")
    expected = {factor: getattr(MODES[mode], factor) for factor in factors}
    kahan = {"compensation": MODES[mode].master} if MODES[mode].write_back == "kahan" else {}
    assert record["dtypes"] == expected | {"logits": "float32"} | kahan
    dtype = getattr(torch, MODES[mode].master)
    before, after = (load_policy(path, dtype, dtype) for path in (base / "policy", tmp_path / "policy"))
    assert weight_hash(after.named_parameters()) == record["weight_hash"]
    assert weight_hash(before.named_parameters()) != record["weight_hash"]
