"""Grouping tensors that are handled together."""

from rlvr.buckets import together


def test_together_keeps_the_order_and_the_limit():
    sizes = {"a": 3, "b": 4, "c": 9, "d": 1, "e": 7, "f": 1}
    assert list(together(sizes, sizes.get, 8)) == [["a", "b"], ["c"], ["d", "e"], ["f"]]
    assert list(together({}, sizes.get, 8)) == []
