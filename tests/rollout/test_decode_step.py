"""Decoding as a replayed CUDA graph gives what the plain forward gives."""

import pytest
import torch
from small_models import reference_model

from rlvr.models.cache import GPU_WINDOW, KvCache
from rlvr.models.loading import load_policy
from rlvr.rollout import decode_step
from rlvr.rollout.decode_step import DecodeStep


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_replayed_steps_equal_launched_ones(dtype, tmp_path, monkeypatch):
    """Through a new window and through a change of the rows."""
    length = 2 * GPU_WINDOW
    reference_model("qwen2", max_position_embeddings=length).save_pretrained(tmp_path)
    model = load_policy(tmp_path, dtype, dtype, device="cuda")
    prompts = torch.arange(3 * 9, device="cuda").view(3, 9)

    def logits(steps_before_capture):
        monkeypatch.setattr(decode_step, "STEPS_BEFORE_CAPTURE", steps_before_capture)
        step, drawn = DecodeStep(model), []
        cache = KvCache.allocate(model.config, 3, 9, dtype, "cuda")
        with torch.inference_mode():
            model.hidden(prompts, cache=cache)
            cache.lengths, cache.longest = torch.tensor([9, 7, 9], device="cuda"), 9
            cache = cache.select(torch.arange(3, device="cuda"), capacity=length)
            tokens = prompts[:, 0]
            for number in range(length - 20):
                if number == 50:
                    kept = torch.tensor([2, 0, 2], device="cuda")
                    cache, tokens = cache.select(kept), tokens[kept]
                drawn.append(step(cache, tokens).clone())
                tokens = drawn[-1].argmax(-1)
        return torch.stack(drawn)

    assert torch.equal(logits(2), logits(length))
