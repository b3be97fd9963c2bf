import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from rlvr.config.policy import ArchitectureConfig, FamilyExamples, SftConfig
from rlvr.models.decoder import Decoder
from rlvr.models.tiny import decoder_config, initialise
from rlvr.models.tokenizers import character_tokenizer
from rlvr.training.examples import open_examples
from rlvr.training.sft import Sft, accumulate_gradients, learning_rate

torch.set_num_threads(1)

CONFIG = SftConfig(
    steps=30,
    batch_size=16,
    learning_rate=1e-2,
    betas=(0.9, 0.98),
    eps=1e-8,
    weight_decay=0.0,
    warmup_steps=4,
    final_learning_rate_ratio=0.1,
    max_grad_norm=1.0,
    log_every_steps=7,
)
ARCHITECTURE = ArchitectureConfig(
    hidden_size=16,
    layers=1,
    heads=2,
    kv_heads=1,
    mlp_size=24,
    tied_embeddings=True,
    init_std=0.1,
    max_positions=24,
)
EXAMPLES = FamilyExamples(kind="families", weights={"max": 1.0}, right=1.0, wrong_rule=0.0, slip=0.0)
TOKENIZER = character_tokenizer()


def small_model():
    model = Decoder(decoder_config(ARCHITECTURE, len(TOKENIZER)), torch.float32, torch.float32)
    initialise(model, ARCHITECTURE.init_std, seed=0)
    return model


def training(config=CONFIG):
    model = small_model()
    optimizer = torch.optim.AdamW(model.parameters(), betas=config.betas)
    examples = open_examples(EXAMPLES, TOKENIZER, "", 0, 24)
    return Sft(model, config, optimizer, examples, TOKENIZER.pad_token_id)


def float64_model():
    model = small_model().double()
    model.compute, model.logits_fp32 = torch.float64, False
    return model


PROMPTS = [[5, 6], [7], [8, 9, 10], [4, 4], [3]]
RESPONSES = [[8, 1], [9, 10, 11, 1], [1], [6, 6, 7, 1], [5, 1]]


def accumulated(steps):
    """Loss and gradient, in float64."""
    model = float64_model()
    loss = accumulate_gradients(model, PROMPTS, RESPONSES, 0, steps)
    return loss, torch.cat([weight.grad.flatten() for weight in model.parameters()])


def test_learning_rate_warms_up_and_decays_linearly():
    rates = [learning_rate(CONFIG, step) for step in range(CONFIG.steps)]
    assert rates[:4] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert rates[-1] == pytest.approx(0.001)
    slopes = [after - before for before, after in pairwise(rates[3:])]
    assert slopes == pytest.approx([-0.009 / 26] * 26)


def test_loss_is_the_mean_over_all_response_tokens():
    """Against float64 loops; the responses differ in length, so a mean of means would differ."""
    model, losses = float64_model(), []
    for prompt, response in zip(PROMPTS, RESPONSES, strict=True):
        ids = prompt + response
        logits = model(torch.tensor([ids])).logits[0]
        for position in range(len(prompt), len(ids)):
            row = logits[position - 1].tolist()
            losses.append(math.log(sum(math.exp(x) for x in row)) - row[ids[position]])
    assert len(losses) == 13
    assert accumulated(1)[0] == pytest.approx(sum(losses) / 13, abs=1e-9)


def test_the_gradient_is_that_of_the_mean():
    """Against autograd through a mean that is written down directly."""
    model, rows = float64_model(), []
    for prompt, response in zip(PROMPTS, RESPONSES, strict=True):
        ids = torch.tensor([prompt + response])
        log_probs = model(ids).logits[0].log_softmax(-1)
        rows.append(log_probs[len(prompt) - 1 : -1].gather(1, ids[0, len(prompt) :, None]))
    (-torch.cat(rows).mean()).backward()
    expected = torch.cat([weight.grad.flatten() for weight in model.parameters()])
    torch.testing.assert_close(accumulated(1)[1], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [2, 3, 5, 8])
def test_accumulation_equals_the_whole_batch(steps):
    """Five rows do not divide by 2 or 3, and have no 8 parts; float64 rounding is far below 1e-12."""
    loss, gradient = accumulated(steps)
    whole_loss, whole_gradient = accumulated(1)
    assert loss == pytest.approx(whole_loss, abs=1e-12)
    torch.testing.assert_close(gradient, whole_gradient, rtol=0, atol=1e-12)


def test_accumulation_bounds_the_rows_of_a_forward():
    config, rows = replace(CONFIG, steps=1, gradient_accumulation_steps=4), []
    run = training(config)
    run.model.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    run.run(lambda step, snapshot: None)
    assert rows == [4, 4, 4, 4]


def test_training_lowers_the_loss_and_logs_means():
    run = training()
    run.run(lambda step, snapshot: None)
    assert [row["step"] for row in run.state.metrics] == [7, 14, 21, 28, 30]
    assert run.state.metrics[0]["loss"] > 1.3 * run.state.metrics[-1]["loss"]
    assert run.state.metrics[0]["learning_rate"] == learning_rate(CONFIG, 6)
    seconds = [row["seconds"] for row in run.state.metrics]
    assert seconds == sorted(seconds)


def test_resume_is_exact(tmp_path):
    whole = training()
    whole.run(lambda step, snapshot: torch.save(snapshot, tmp_path / f"{step:02d}.pt"))
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["06", "12", "18", "24"]
    resumed = training()
    resumed.restore(torch.load(tmp_path / "12.pt", weights_only=True))
    assert resumed.state.step == 12
    resumed.run(lambda step, snapshot: None)
    for name, weight in whole.model.named_parameters():
        assert torch.equal(weight, resumed.model.get_parameter(name)), name
    for before, after in zip(whole.state.metrics, resumed.state.metrics, strict=True):
        assert before | {"seconds": 0} == after | {"seconds": 0}


def test_a_log_probability_that_is_not_finite_stops_the_training():
    run = training()
    with torch.no_grad():
        run.model.model.norm.weight.fill_(torch.inf)
    with pytest.raises(FloatingPointError, match="log-probability of a response token is not finite"):
        run.run(lambda step, snapshot: None)


def test_a_gradient_that_overflows_leaves_the_weights_alone():
    run = training()
    before = {name: weight.clone() for name, weight in run.model.state_dict().items()}
    run.model.model.norm.weight.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(FloatingPointError, match="gradient norm is"):
        run.run(lambda step, snapshot: None)
    assert all(torch.equal(before[name], weight) for name, weight in run.model.state_dict().items())
