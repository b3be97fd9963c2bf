"""The order of training data."""

from collections.abc import Callable

import numpy as np


def walk_epochs(total: int, first: int, count: int, order: Callable[[int], np.ndarray]) -> list[int]:
    """Indices at positions `first` to `first + count` of an endless walk through epochs of `total` rows.

    `order(epoch)` is the permutation of an epoch: the walk repeats no row inside one, and depends on the
    position alone, so that a resume goes on where it stopped.
    """
    orders: dict[int, np.ndarray] = {}
    indices = []
    for position in range(first, first + count):
        epoch, place = divmod(position, total)
        if epoch not in orders:
            orders[epoch] = order(epoch)
        indices.append(int(orders[epoch][place]))
    return indices
