import dataclasses

import pytest
import torch
from scipy.stats import chisquare

from rlvr.errors import UserError
from rlvr.rollout.engine import SamplingParams
from rlvr.rollout.sampling import check_sampling, sample_tokens

PROBABILITIES = torch.tensor([0.05, 0.4, 0.25, 0.0, 0.3])
LOGITS = PROBABILITIES.log()


def draw(uniforms, temperature=1.0, top_p=1.0, logits=LOGITS):
    uniforms = torch.tensor(uniforms, dtype=torch.float64)
    return sample_tokens(logits.expand(len(uniforms), -1), uniforms, temperature, top_p).tolist()


def test_the_cumulative_distribution_is_inverted():
    assert draw([0.0, 0.049, 0.051, 0.449, 0.451, 0.699, 0.701, 1 - 2**-53]) == [0, 0, 1, 1, 2, 2, 4, 4]


def test_a_token_without_probability_is_never_drawn():
    uniforms = torch.arange(0, 1, 1e-3, dtype=torch.float64).tolist()
    assert 3 not in draw(uniforms)
    assert 3 not in draw([*uniforms, 1 - 2**-53], top_p=0.999)
    last = torch.tensor([0.5, 0.5, 0.0]).log()
    assert draw([1 - 2**-53], logits=last) == [1]


@pytest.mark.parametrize(
    "top_p, kept",
    [(0.3, [1]), (0.4, [1]), (0.41, [1, 4]), (0.7, [1, 4]), (0.71, [1, 4, 2]), (0.96, [1, 4, 2, 0])],
)
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p, kept):
    uniforms = torch.arange(0.0005, 1, 1e-3, dtype=torch.float64).tolist()
    drawn = torch.tensor(draw(uniforms, top_p=top_p)).bincount(minlength=5) / 1000
    expected = torch.zeros(5)
    expected[kept] = PROBABILITIES[kept] / PROBABILITIES[kept].sum()
    assert set(drawn.nonzero()[:, 0].tolist()) == set(kept)
    torch.testing.assert_close(drawn, expected, atol=2e-3, rtol=0)  # 1,000 evenly spaced uniforms


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_sharpens_and_flattens(temperature):
    generator = torch.Generator().manual_seed(0)
    uniforms = torch.rand(20_000, generator=generator, dtype=torch.float64)
    drawn = sample_tokens(LOGITS.expand(len(uniforms), -1), uniforms, temperature, 1.0)
    powered = PROBABILITIES.double() ** (1 / temperature)
    expected = (powered / powered.sum() * len(uniforms))[[0, 1, 2, 4]]
    assert chisquare(drawn.bincount(minlength=5)[[0, 1, 2, 4]], expected).pvalue > 1e-3


def test_temperature_zero_takes_the_first_of_the_most_likely():
    assert draw([0.99], temperature=0.0, logits=torch.tensor([1.0, 3.0, 3.0])) == [1]


@pytest.mark.parametrize(
    "change",
    [{"max_tokens": 0}, {"min_tokens": 9}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.1}],
)
def test_bad_parameters_are_named(change):
    params = SamplingParams(max_tokens=8)
    check_sampling(params)
    with pytest.raises(UserError, match=next(iter(change))):
        check_sampling(dataclasses.replace(params, **change))
