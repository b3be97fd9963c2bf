import hashlib

import numpy as np

from rlvr.rollout.streams import RolloutStreams, named_generator, rollout_seed, stream_seed


def test_numbers_are_philox_keyed_by_who_draws():
    """The documented construction, made afresh here."""
    digest = hashlib.blake2b(repr(("rollout", 7, "add/1+2", 0, 3)).encode(), digest_size=16).digest()
    expected = np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype="<u8"))).random(5)
    assert np.array_equal(RolloutStreams(7).uniforms("add/1+2", 0, 3, 5), expected)


def test_order_and_length_do_not_matter():
    streams = RolloutStreams(1)
    first = streams.uniforms("a", 0, 0, 3)
    streams.uniforms("b", 2, 1, 7)
    assert np.array_equal(streams.uniforms("a", 0, 0, 10)[:3], first)


def test_streams_differ_in_every_part_of_their_name():
    names = [("a", 0, 0), ("b", 0, 0), ("a", 1, 0), ("a", 0, 1), ("a", 10, 1), ("a", 1, 10)]
    drawn = [RolloutStreams(seed).uniforms(*name, 1)[0] for seed in (0, 1) for name in names]
    assert len(set(drawn)) == len(drawn)
    seeds = [
        stream_seed(*parts) for parts in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (11, 1, 0), (1, 11, 0)]
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_of_rollouts_differ_in_every_part_of_their_name():
    names = [("a", 0, 0), ("b", 0, 0), ("a", 1, 0), ("a", 0, 1), ("a", 10, 1), ("a", 1, 10)]
    seeds = [rollout_seed(seed, *name) for seed in (0, 1) for name in names]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert rollout_seed(0, "a", 0, 0) == seeds[0]


def test_numbers_are_uniform():
    drawn = np.concatenate([RolloutStreams(0).uniforms("p", 0, sample, 2) for sample in range(5000)])
    assert drawn.min() >= 0 and drawn.max() < 1
    # 10,000 numbers in ten bins: a standard deviation is 30.
    assert np.abs(np.histogram(drawn, bins=10, range=(0, 1))[0] - 1000).max() < 150


def test_named_generators_share_no_stream():
    names = [("epoch", 1, 2), ("epoch", 1, 2, 0), ("minibatches", 1, 2), ("epoch", 1, 3), ("epoch", 12)]
    first = {named_generator(*name).integers(2**62) for name in names}
    assert len(first) == len(names)
    assert named_generator("epoch", 1, 2).integers(2**62) in first
