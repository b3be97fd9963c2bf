"""KL against enumeration: exact values on a model whose sequences can all be listed."""

from itertools import pairwise, product

import pytest
import torch

from rlvr.evaluation.kl import measure_kl, sequence_kl, summarise_kl
from rlvr.rollout.engine import Rollout


class Table(torch.nn.Module):
    """Next-token logits that depend on the last token only."""

    def __init__(self, seed: int, vocabulary: int = 4):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.nn.Parameter(torch.randn(vocabulary, vocabulary, generator=generator))

    def logits_in_parts(self, input_ids, mask, positions):
        yield from self.weight[input_ids][mask].split(positions)


POLICY, BASE = Table(0), Table(1)
PROMPT = (2,)
LENGTH = 3


def _log_prob(model, tokens):
    table = torch.log_softmax(model.weight.double(), dim=-1)
    path = (*PROMPT, *tokens)
    return sum(table[a, b].item() for a, b in pairwise(path))


def _rollout(tokens):
    return Rollout("p", 0, PROMPT, tuple(tokens), "", "length", (0.0,) * len(tokens))


@torch.no_grad()
def test_expectations_are_the_exact_kl():
    sequences = list(product(range(4), repeat=LENGTH))
    exact = sum(
        torch.tensor(_log_prob(POLICY, s)).exp().item() * (_log_prob(POLICY, s) - _log_prob(BASE, s))
        for s in sequences
    )
    measured = measure_kl(POLICY, BASE, [_rollout(s) for s in sequences], 0, 4, torch.device("cpu"))
    weights = [torch.tensor(_log_prob(POLICY, s)).exp().item() for s in sequences]
    for name in ("full", "k1", "k3"):
        mean = sum(w * getattr(kl, name) for w, kl in zip(weights, measured, strict=True))
        assert mean == pytest.approx(exact, rel=1e-5), name


@torch.no_grad()
def test_padding_and_prompt_do_not_count():
    rows = [_rollout((1, 3, 0)), _rollout((1,))]
    together = measure_kl(POLICY, BASE, rows, 0, 4, torch.device("cpu"))
    alone = [measure_kl(POLICY, BASE, [row], 0, 4, torch.device("cpu"))[0] for row in rows]
    for pair in zip(together, alone, strict=True):
        assert pair[0].full == pytest.approx(pair[1].full)
        assert pair[0].k1 == pytest.approx(pair[1].k1)
    assert together[1].k1 == pytest.approx(_log_prob(POLICY, (1,)) - _log_prob(BASE, (1,)), rel=1e-5)


@torch.no_grad()
def test_a_policy_has_no_distance_from_itself():
    tokens = torch.tensor([[2, 1, 3]])
    sums = sequence_kl(POLICY, POLICY, tokens[:, :-1], tokens[:, 1:], torch.tensor([[True, True]]), 1)
    assert [term.item() for term in sums] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("limit", [25, 7])  # two rows of three tokens at a time; one position of four numbers
def test_batches_within_the_logits_limit_give_the_same(monkeypatch, limit):
    rows = [_rollout(s) for s in product(range(4), repeat=2)]
    whole = measure_kl(POLICY, BASE, rows, 0, 4, torch.device("cpu"))
    monkeypatch.setattr("rlvr.evaluation.kl.MAX_LOGITS", limit)
    parts = measure_kl(POLICY, BASE, rows, 0, 4, torch.device("cpu"))
    assert [kl.full for kl in parts] == pytest.approx([kl.full for kl in whole])


def test_summary_is_clustered_by_problem():
    rows = [_rollout(s) for s in [(0,), (1,), (2,), (3,)]]
    divergences = measure_kl(POLICY, BASE, rows, 0, 4, torch.device("cpu"))
    result = summarise_kl("task", 2, rows, divergences)
    first, second = (sum(d.k1 for d in divergences[i : i + 2]) / 2 for i in (0, 2))
    assert result.problems == 2
    assert result.k1 == pytest.approx((first + second) / 2)
    assert result.k1_se == pytest.approx(abs(first - second) / 2)
