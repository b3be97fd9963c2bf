import pytest
import torch
from small_models import save_reference

from rlvr.models.attention import AttentionDropout
from rlvr.models.cache import KvCache
from rlvr.models.decoder import Decoder, Linear, RMSNorm
from rlvr.models.decoder_config import DecoderConfig
from rlvr.models.loading import load_policy
from rlvr.precision import Dropout

ROPE = {"rope_type": "default", "rope_theta": 500.0}
FP32, BF16 = torch.float32, torch.bfloat16
SIZES_OF_QWEN = {
    "vocab_size": 258,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
IDS = torch.randint(0, 256, (3, 17), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("qwen2")
    save_reference(path, tie_word_embeddings=True)
    return path


def dropout(rate, seed=0):
    return AttentionDropout(Dropout("standard", rate), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "family, settings",
    [
        ("qwen2", {"tie_word_embeddings": True}),
        (
            "qwen2",
            {"tie_word_embeddings": False, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
        ),
        ("llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
        ("llama", {"tie_word_embeddings": False, "head_dim": 16, "rms_norm_eps": 1e-3}),
    ],
)
def test_logits_and_gradients_equal_those_of_transformers(tmp_path, family, settings):
    reference = save_reference(tmp_path, family, **settings)
    model = load_policy(tmp_path, FP32, FP32)
    assert isinstance(model, Decoder)
    assert dict(model.named_parameters()).keys() == dict(reference.named_parameters()).keys()
    ours, theirs = model(IDS).logits, reference(IDS).logits
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    ours.logsumexp(-1).sum().backward()
    theirs.logsumexp(-1).sum().backward()
    for name, parameter in reference.named_parameters():
        torch.testing.assert_close(model.get_parameter(name).grad, parameter.grad, atol=1e-3, rtol=1e-4)


def test_right_padding_does_not_change_what_stands_before_it(folder):
    model = load_policy(folder, FP32, FP32)
    padded = torch.cat([IDS, torch.zeros(3, 5, dtype=torch.long)], dim=1)
    torch.testing.assert_close(model(padded).logits[:, :17], model(IDS).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("master, compute", [(FP32, FP32), (FP32, BF16), (BF16, BF16)])
def test_dtypes_are_the_ones_asked_for(folder, master, compute):
    model = load_policy(folder, master, compute)
    seen = []
    for module in model.modules():
        if isinstance(module, Linear | RMSNorm):
            module.register_forward_hook(
                lambda _m, inputs, output: seen.extend([inputs[0].dtype, output.dtype])
            )
    logits = model(IDS).logits
    logits.sum().backward()
    assert set(seen) == {compute}
    assert logits.dtype == FP32
    assert {parameter.dtype for parameter in model.parameters()} == {master}
    assert {parameter.grad.dtype for parameter in model.parameters()} == {master}
    assert load_policy(folder, master, compute, logits_fp32=False)(IDS).logits.dtype == compute


def test_mixed_precision_computes_as_bf16_weights_would(folder):
    """Casting at use is casting once: bf16 compute from fp32 masters equals the rounded model."""
    mixed, rounded = load_policy(folder, FP32, BF16), load_policy(folder, BF16, BF16)
    assert torch.equal(mixed(IDS).logits, rounded(IDS).logits)
    exact = load_policy(folder, FP32, FP32)(IDS).logits
    error = (mixed(IDS).logits - exact).abs().max() / exact.abs().max()
    assert 0 < error < 0.05  # bf16 has an epsilon of 0.8 %


def test_short_bf16_path_agrees_with_transformers_in_bf16(tmp_path):
    reference = save_reference(tmp_path).to(BF16)
    ours, theirs = load_policy(tmp_path, BF16, BF16)(IDS).logits, reference(IDS).logits.float()
    assert (ours - theirs).abs().max() < 0.03 * theirs.abs().max()


@pytest.mark.parametrize("compute", [FP32, BF16])
def test_decoding_with_the_cache_equals_a_full_forward(folder, compute):
    """Rows of lengths 5, 3 and 7 are filled at once and then continued, one of them twice."""
    model = load_policy(folder, compute, compute)
    lengths, rows = torch.tensor([5, 3, 7]), torch.tensor([0, 2, 2, 1])
    full = model(IDS).logits
    tolerance = 1e-5 if compute == FP32 else 0.05 * full.abs().max().item()
    cache = KvCache.allocate(model.config, 3, 7, compute, "cpu")
    with torch.inference_mode():
        model.hidden(IDS[:, :7], cache=cache)
        cache.lengths, cache.longest = lengths, 7
        cache = cache.select(rows, capacity=12)
        for step in range(4):
            positions = lengths[rows] + step
            logits = model.head(model.hidden(IDS[rows, positions][:, None], cache=cache))[:, 0]
            cache.advance()
            torch.testing.assert_close(logits, full[rows, positions], atol=tolerance, rtol=0)
            if step == 1:
                kept = torch.tensor([3, 1])
                cache, rows = cache.select(kept), rows[kept]


def test_dropout_is_off_unless_passed_and_follows_its_generator(folder):
    model = load_policy(folder, FP32, FP32)
    plain = model(IDS).logits
    assert torch.equal(plain, model.train()(IDS).logits)
    dropped = model(IDS, dropout=dropout(0.1)).logits
    assert not torch.allclose(plain, dropped, atol=1e-3)
    assert torch.equal(dropped, model(IDS, dropout=dropout(0.1)).logits)
    assert not torch.equal(dropped, model(IDS, dropout=dropout(0.1, seed=1)).logits)
    torch.testing.assert_close(model(IDS, dropout=dropout(0.0)).logits, plain, atol=1e-5, rtol=0)


def test_dropout_zeroes_at_its_rate_and_keeps_the_mean():
    dropped = dropout(0.25)(torch.ones(400, 1000))
    # Shares of 400,000 draws: six standard deviations are 0.004, and a third more for the mean.
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.004)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.0055)


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "gpt2"},
        {"use_sliding_window": True},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}},
        {"hidden_act": "gelu"},
        {"layer_types": ["sliding_attention", "full_attention"]},
    ],
)
def test_other_architectures_are_not_ours(change):
    raw = {"model_type": "qwen2", **SIZES_OF_QWEN}
    assert DecoderConfig.from_hf(raw) is not None
    assert DecoderConfig.from_hf(raw | change) is None


def test_config_survives_the_way_to_hugging_face_and_back():
    config = DecoderConfig.from_hf({"model_type": "llama", "attention_bias": True, **SIZES_OF_QWEN})
    assert config.kv_heads == 4
    assert config.output_bias
    assert not config.tied_embeddings
    assert DecoderConfig.from_hf(config.to_hf()) == config
