"""The program inside the jailed worker: it holds the submission and calls its layer. Nothing here is trusted.

The submission shares the process with these lines and may replace them; all it can reach that way is which
arrays it answers with, and these are judged outside. Seeding serves honest submissions: the same one draws
the same numbers at each grading.
"""

# What every worker of a sandbox for grading should find imported.
PRELOAD = ("numpy", "numpy.random")

WORKER_PROGRAM = '''
import itertools
import random
import sys
import types

import numpy as np

_default_rng = np.random.default_rng
_entropy = [0]
_counter = itertools.count()


def _seeded_default_rng(seed=None):
    return _default_rng([*_entropy, next(_counter)] if seed is None else seed)


np.random.default_rng = _seeded_default_rng


def _seed(key, position, has_normal, normal):
    global _counter
    np.random.set_state(("MT19937", key, position, has_normal, normal))
    _entropy[:] = [int(word) for word in key[:4]]
    _counter = itertools.count()
    random.seed(_entropy[0])


def load(source, key, position, has_normal, normal):
    """Execute the submission as module `dropout`; the words of a SyntaxError, or ""."""
    global _dropout
    _seed(key, position, has_normal, normal)
    _dropout = types.ModuleType("dropout")
    _dropout.__file__ = "dropout.py"
    sys.modules["dropout"] = _dropout
    try:
        code = compile(source, "dropout.py", "exec")
    except (SyntaxError, ValueError, OverflowError) as error:
        return f"{type(error).__name__}: {error}"
    exec(code, _dropout.__dict__)
    return ""


def modes(rate):
    """The attribute `training` of a new layer, after eval(), and after train()."""
    layer = _dropout.Dropout(rate)
    seen = [layer.training]
    layer.eval()
    seen.append(layer.training)
    layer.train()
    return [bool(value) for value in (*seen, layer.training)]


def apply(rate, training, inputs, key, position, has_normal, normal, keyword):
    """The output of a new layer, made by position or by keyword."""
    layer = _dropout.Dropout(drop_rate=rate) if keyword else _dropout.Dropout(rate)
    layer = layer.train() if training else layer.eval()
    _seed(key, position, has_normal, normal)
    return layer(inputs)
'''
