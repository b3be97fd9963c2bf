from dataclasses import replace

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rlvr.alignment.grpo import TRACKED_UPDATES
from rlvr.config.build import build
from rlvr.config.load import load_config
from rlvr.config.precision import GrpoConfig
from rlvr.evaluation import kl
from rlvr.models import attention
from rlvr.models.attention import AttentionDropout
from rlvr.models.decoder import Decoder
from rlvr.models.decoder_config import DecoderConfig
from rlvr.models.products import multiplied_in_float32
from rlvr.plan import activations, evaluation, sampling
from rlvr.plan import memory as plan
from rlvr.plan.activations import kept_per_pair
from rlvr.plan.fitting import fewest_gpus, largest_rows, largest_that_fits
from rlvr.plan.memory import TrainingLoad, trained_bytes, training_memory
from rlvr.plan.shapes import KNOWN_SHAPES, layer_sizes, tensor_sizes
from rlvr.plan.study import TRACKED, study_to_plan
from rlvr.precision import MODES, Dropout, torch_dtype
from rlvr.training.batch import is_on_policy

QWEN_7B = DecoderConfig.from_hf(KNOWN_SHAPES["Qwen/Qwen2.5-Math-7B"])
LOAD = TrainingLoad(
    rows=1, drawn_rows=16, samples=16, prompt=1024, response=3072, top_p=1.0, tracked=0, device="cuda"
)
SMALL = DecoderConfig.from_hf(
    {
        "model_type": "qwen2",
        "vocab_size": 50,
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "intermediate_size": 80,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
    }
)


@pytest.mark.parametrize(
    ("mode", "gigabytes"),
    [
        ("fp32", 121.8),  # 4 weights + 4 gradients + 8 moments = 16 bytes a parameter
        ("bf16", 60.9),  # 2 + 2 + 4
        ("bf16_fp32state", 91.4),  # 2 + 2 + 8
        ("bf16_kahan", 76.2),  # 2 + 2 + 4 + 2
        ("bf16_sr", 60.9),
        ("bf16_mixed", 121.8),
    ],
)
def test_weights_gradients_and_state_of_7_615_616_512_parameters(mode, gigabytes):
    assert round(trained_bytes(training_memory(QWEN_7B, MODES[mode], LOAD)) / 1e9, 1) == gigabytes


# By hand: 28 layers of 233,057,792 weights (MLP 3 · 67,895,296, attention 29,360,128 and 4,608 of biases, two
# norms), embeddings and head of 544,997,376 each, and the last norm of 3,584.
LAYER, HEAD, ALL = 233_057_792, 544_997_376, 7_615_616_512
ROOT = 2 * HEAD + 3_584


def test_the_weights_of_the_7b_model_add_up():
    assert sum(layer_sizes(QWEN_7B)) == LAYER
    assert max(tensor_sizes(QWEN_7B)) == HEAD
    assert 28 * LAYER + ROOT == ALL


def test_the_key_value_cache_by_hand():
    memory = training_memory(QWEN_7B, MODES["bf16"], LOAD)
    # 28 layers × keys and values × 4 heads × 128 × 2 bytes = 57,344 a position, and one layer more of each
    # while rows leave the batch.
    assert memory.largest(sampling.CACHE) == 16 * (1024 + 3072 - 1) * (57_344 + 2_048)
    assert memory.largest(sampling.DRAWING) == 16 * 152_064 * 28
    on_cpu = training_memory(QWEN_7B, MODES["fp32"], replace(LOAD, device="cpu"))
    # There attention reads a copy for each of 28 heads.
    assert on_cpu.largest(sampling.CACHE) == 16 * 4095 * 2 * (57_344 + 2_048 + 14_336)


def test_different_prompts_need_most_while_their_cache_is_copied():
    memory = training_memory(QWEN_7B, MODES["bf16"], replace(LOAD, samples=1))
    # 16 prompts of 1,024 tokens, and room for 4,095 each.
    assert memory.largest(sampling.CACHE) == 16 * (1024 + 4095) * 57_344
    assert not memory.largest(sampling.DRAWING)


def test_long_prompts_need_most_while_they_are_read():
    load = replace(LOAD, samples=1, prompt=4095, response=1)
    memory = training_memory(QWEN_7B, MODES["bf16"], load)
    # Input, normed input and the MLP's product with its two factors, in bf16.
    assert memory.largest(sampling.DRAWING) == 16 * 4095 * 2 * (2 * 3584 + 3 * 18_944)
    assert memory.largest(sampling.CACHE) == 16 * 4095 * 57_344


def test_logits_and_the_copies_of_the_weights_by_hand():
    memory = training_memory(QWEN_7B, MODES["bf16_mixed"], LOAD)
    # Scoring with entropies: five fp32 tensors of a row × the 3,072 tokens of its response × 152,064.
    assert memory.of(plan.LOGITS, plan.SCORING) == 3072 * 152_064 * 20
    assert memory.of(plan.LOGITS, plan.HEAD) == 3072 * 152_064 * 12
    # Rows of the embeddings are cast, not the table; and no norm of one vector.
    assert memory.of(plan.COPY, plan.HEAD) == 2 * (28 * LAYER + HEAD)
    assert memory.of(plan.COPY, plan.LAYERS) == 2 * 28 * LAYER
    assert memory.of(plan.COPY, plan.SCORING) == 2 * HEAD
    assert memory.largest(plan.BASE) == 2 * ALL
    assert memory.largest(plan.RECORD) == (2 + 4) * ALL
    assert not training_memory(QWEN_7B, MODES["bf16"], LOAD).largest(plan.COPY)


def test_an_update_that_scores_itself_has_entropies_beside_the_activations():
    load = replace(LOAD, one_update=True)
    scoring = training_memory(QWEN_7B, MODES["bf16_mixed"], load)
    assert scoring.of(plan.LOGITS, plan.HEAD) == 3072 * 152_064 * 20
    in_chunks = training_memory(QWEN_7B, MODES["bf16_mixed"], replace(load, rows=8, vocabulary_chunk=8000))
    assert in_chunks.of(plan.LOGITS, plan.HEAD) == 8000 * 152_064 * 20
    # bf16 drops out, so that its own pass has other log-probabilities.
    assert training_memory(QWEN_7B, MODES["bf16"], load).of(plan.LOGITS, plan.HEAD) == 3072 * 152_064 * 12


def test_the_gradient_of_the_head_outweighs_the_logits_of_few_positions():
    load = replace(LOAD, prompt=8, response=8)
    memory = training_memory(QWEN_7B, MODES["bf16_mixed"], load)
    # In bf16, and in the fp32 in which gradients are summed up.
    assert memory.of(plan.WORK, plan.HEAD) == HEAD * (2 + 4)
    assert memory.of(plan.LOGITS, plan.HEAD) == 8 * 152_064 * 2


def test_logits_in_chunks_and_recomputed_activations_by_hand():
    load = replace(LOAD, rows=8)
    kept = training_memory(QWEN_7B, MODES["bf16_mixed"], load)
    small = replace(load, vocabulary_chunk=4096, recompute_activations=True)
    memory = training_memory(QWEN_7B, MODES["bf16_mixed"], small)
    # Product, log-probabilities and two gradients, and the gradient of the chunk before: 2 + 12 + 2 bytes.
    assert memory.of(plan.LOGITS, plan.HEAD) == 4096 * 152_064 * 16
    assert memory.of(plan.WORK, plan.HEAD) == HEAD * 4
    inputs, last_norm = 28 * 8 * 4095 * 3584 * 2, 8 * 4095 * 3584 * (4 + 4 * 2)
    assert memory.of(plan.ACTIVATIONS, plan.HEAD) == inputs + last_norm
    of_layer = (kept.of(plan.ACTIVATIONS, plan.HEAD) - last_norm) / 28
    # Products in the MLP and their gradients; two fp32 vectors and four of the layer's.
    work = 8 * 4095 * (3 * 2 * 18_944 + 3584 * (8 + 4 * 2))
    assert memory.of(plan.ACTIVATIONS, plan.LAYERS) == inputs + of_layer + work
    assert kept.of(plan.ACTIVATIONS, plan.LAYERS) == 28 * of_layer + work
    assert memory.of(plan.COPY, plan.HEAD) == 2 * HEAD
    assert memory.of(plan.COPY, plan.LAYERS) == 2 * LAYER
    more = replace(small, vocabulary_chunk=10**9)
    assert more.scored == 8 * 3072
    # In fp32 the product has four bytes, and so has the gradient of the chunk before.
    fp32 = training_memory(QWEN_7B, MODES["fp32"], small)
    assert fp32.of(plan.LOGITS, plan.HEAD) == 4096 * 152_064 * 20


def test_gradients_are_there_from_the_first_backward_pass_of_an_update_to_its_end():
    one = training_memory(QWEN_7B, MODES["bf16_mixed"], replace(LOAD, accumulates=False))
    assert [one.of(plan.GRADIENTS, phase) for phase in (plan.HEAD, plan.LAYERS)] == [0, 4 * HEAD]
    assert one.of(plan.GRADIENTS, plan.END) == one.of(plan.GRADIENTS, plan.OPTIMISER) == 4 * ALL
    for phase in (plan.SAMPLING, plan.SCORING, plan.COMPARING):
        assert one.of(plan.GRADIENTS, phase) == 0
    several = training_memory(QWEN_7B, MODES["bf16_mixed"], LOAD)
    assert several.of(plan.GRADIENTS, plan.HEAD) == several.of(plan.GRADIENTS, plan.LAYERS) == 4 * ALL


def test_what_eight_gpus_divide_by_hand():
    memory = training_memory(QWEN_7B, MODES["bf16_mixed"], LOAD)

    def each(name, phase):
        return memory.of(name, phase, 8)

    for name, size in ((plan.WEIGHTS, 4), (plan.MOMENTS, 8), (plan.GRADIENTS, 4), (plan.BASE, 2)):
        assert each(name, plan.HEAD) == size * ALL / 8
    assert each(plan.RECORD, plan.HEAD) == 6 * ALL / 8
    # The engine, and what products read, are whole on each.
    assert each(plan.ENGINE, plan.SAMPLING) == 2 * ALL
    assert each(plan.COPY, plan.LAYERS) == 2 * 28 * LAYER
    assert each(plan.LOGITS, plan.HEAD) == 3072 * 152_064 * 12
    # Weights are gathered in fp32, as they are stored; so are gradients.
    assert each(plan.GATHERED, plan.SCORING) == 4 * (ROOT + 3 * LAYER)
    assert each(plan.GATHERED, plan.HEAD) == 4 * (ROOT + 2 * LAYER)
    assert each(plan.GATHERED, plan.LAYERS) == 4 * (ROOT + 3 * LAYER) + 4 * 2 * LAYER
    assert each(plan.GATHERED, plan.END) == 4 * 2 * ROOT
    assert each(plan.GRADIENTS, plan.LAYERS) == 4 * ALL / 8 + 4 * HEAD
    assert each(plan.GATHERED, plan.SAMPLING) == each(plan.GATHERED, plan.OPTIMISER) == 0
    assert not memory.of(plan.GATHERED, plan.LAYERS, 1)


def test_dropout_keeps_attention_probabilities_of_every_pair():
    assert kept_per_pair(2, "cuda", 4095, dropout=True) == 4 + 1 + 2  # fp32, mask, bf16
    with_dropout, without = (
        training_memory(QWEN_7B, mode, LOAD)
        for mode in (MODES["bf16"], replace(MODES["bf16"], dropout=Dropout()))
    )

    def pairs(phase):
        both = (memory.of(plan.ACTIVATIONS, phase) for memory in (with_dropout, without))
        return (next(both) - next(both)) / (28 * 4095**2)  # heads × pairs

    assert pairs(plan.HEAD) == 28 * 7
    assert pairs(plan.LAYERS) == 28 * 7 + 9
    assert pairs(plan.SCORING) == 0  # nothing drops out there


def saved_bytes(sizes, mode, dropout, rows, length):
    """Bytes of the distinct tensors that one forward keeps for its backward.

    Without weights and their copies, and what has no rows (the rotary table, the causal mask).
    """
    model = Decoder(sizes, torch_dtype(mode.master), torch_dtype(mode.compute))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    weights = {
        shape for p in model.parameters() for shape in (p.shape, p.t().shape if p.ndim == 2 else p.shape)
    }
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if tensor.shape not in weights and tensor.shape[0] != 1:
            kept[storage.data_ptr()] = storage
        return tensor

    drop = AttentionDropout(dropout, torch.Generator().manual_seed(0)) if dropout.rate else None
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = model.hidden(torch.ones(rows, length, dtype=torch.long), drop)
    assert hidden.requires_grad
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize(("mode", "length"), [("fp32", 40), ("fp32", 150), ("bf16", 40), ("bf16", 150)])
def test_activations_are_what_torch_keeps(mode, length):
    mode = MODES[mode]
    if mode.compute == "bfloat16" and not multiplied_in_float32("cpu", torch.bfloat16):
        pytest.skip("this CPU multiplies bf16 itself; the plan is for those that do not")
    load = replace(LOAD, rows=3, prompt=length, response=1, device="cpu")
    memory = training_memory(SMALL, mode, load)
    last_norm = 3 * length * SMALL.hidden_size * (4 + 4 * plan.BYTES[mode.compute])
    planned = memory.of(plan.ACTIVATIONS, plan.HEAD) - last_norm
    measured = saved_bytes(SMALL, mode, mode.dropout, 3, length)
    assert 0.95 <= planned / measured <= 1.25


@given(
    rows=st.integers(1, 16),
    drawn=st.integers(1, 64),
    prompt=st.integers(1, 200),
    response=st.integers(1, 200),
    mode=st.sampled_from(sorted(MODES)),
    device=st.sampled_from(["cpu", "cuda"]),
)
def test_more_of_anything_needs_no_less_and_sharding_no_more(rows, drawn, prompt, response, mode, device):
    load = TrainingLoad(rows, drawn, 8, prompt, response, 1.0, 0, device)
    # Short rows on a CPU are attended to in another way, so lengths are compared on CUDA only.
    longer = replace(load, response=response + 1) if device == "cuda" else load
    peaks = [
        training_memory(SMALL, MODES[mode], one).peak()
        for one in (load, replace(load, rows=rows + 1), replace(load, drawn_rows=drawn + 1), longer)
    ]
    assert min(peaks) == peaks[0]
    memory = training_memory(SMALL, MODES[mode], load)
    assert memory.peak(8) <= memory.peak(2)
    for phase in plan.PHASES:
        gathered = memory.of(plan.GATHERED, phase, 8) + memory.of(plan.GRADIENTS, phase, 8)
        assert memory.in_phase(phase, 8) - gathered <= memory.in_phase(phase)


def test_the_fewest_gpus_is_the_least_number_that_fits():
    memory = training_memory(QWEN_7B, MODES["bf16_fp32state"], LOAD)
    gpus = fewest_gpus(memory, 80e9)
    assert gpus > 2
    assert memory.peak(gpus) <= 0.9 * 80e9 < memory.peak(gpus - 1)
    assert (
        fewest_gpus(memory, 20e9) is None
    )  # the engine alone has 15.2 GB, and activations more than the rest
    assert fewest_gpus(memory, 300e9) == 1


@given(most=st.integers(0, 50), limit=st.integers(0, 60))
def test_the_largest_that_fits(most, limit):
    assert largest_that_fits(most, lambda number: number <= limit) == min(most, limit)


def test_the_largest_batches_that_fit_do_and_one_row_more_does_not():
    load = replace(LOAD, rows=16, drawn_rows=512)
    mode = MODES["bf16_fp32state"]
    rows, drawn = largest_rows(QWEN_7B, mode, load, 8, 80e9)
    assert largest_rows(QWEN_7B, mode, load, 8, 10e9) == (0, 0)
    assert 0 < rows < 16
    assert 0 < drawn < 512
    for more, fits in ((0, True), (1, False)):
        memory = training_memory(QWEN_7B, mode, replace(load, rows=rows + more, drawn_rows=1))
        assert (memory.peak(8) <= 0.9 * 80e9) == fits
        memory = training_memory(QWEN_7B, mode, replace(load, rows=1, drawn_rows=drawn + more))
        assert (memory.peak(8) <= 0.9 * 80e9) == fits


def test_constants_that_stand_here_too_because_their_modules_import_torch():
    assert attention.SHORT == activations.SHORT
    assert TRACKED_UPDATES == TRACKED
    assert kl.MAX_LOGITS == evaluation.MAX_LOGITS


@pytest.mark.parametrize("mode", sorted(MODES))
@pytest.mark.parametrize("changes", [{}, {"epochs": 2}, {"minibatches": 2}, {"loss": {"kl_beta": 0.1}}])
def test_which_updates_score_themselves(tmp_path, mode, changes):
    file = tmp_path / "config.yaml"
    training = {"epochs": 1, "minibatches": 1, **changes}
    file.write_text(yaml.safe_dump({"precision": {"training": training}}))
    config = load_config(file)
    study = study_to_plan(config, "precision")
    trained = build(GrpoConfig, config["precision"]["training"])
    for one in (MODES[mode], replace(MODES[mode], importance_cap=2.0)):
        assert plan.scores_itself(one, study.load) == is_on_policy(trained, one)
