"""Hostile submissions: each leaves the scale wrong and tries to be graded as right all the same."""

from rlvr.repair.checks import FailureKind
from rlvr.repair.known import BUG, GUARD, MASK, SOLUTIONS, WRONG, KnownSubmission, scaled, with_forward
from rlvr.repair.task import DROPOUT_SOURCE, SUBMISSION, TEST_FILE, TEST_SOURCE

# A process that was made to end may be reported by any of these, depending on where it was caught.
PROCESS: tuple[FailureKind, ...] = ("process", "exception", "memory", "output")
BUGGY_END = MASK + "return x * mask / keep"


def _forgery(
    name: str, what: str, kinds: FailureKind | tuple[FailureKind, ...], source: str, **files: str
) -> KnownSubmission:
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    others = {f"{module}.py": text for module, text in files.items()}
    return KnownSubmission(name, "forgery", what, kinds, {SUBMISSION: source, **others})


def _first(statements: str) -> str:
    """The task's dropout.py with statements before the class."""
    return scaled("1.0 / keep_prob", statements)


ENDS_THE_PROCESS = (
    _forgery("sys_exit", "leaves with status 0", PROCESS, _first("import sys\nsys.exit(0)\n")),
    _forgery(
        "os_exit", "leaves with status 0 when called", PROCESS,
        with_forward("import os\nos._exit(0)"),
    ),
    _forgery(
        "atexit", "prints success when the process ends", "variance",
        _first("import atexit\natexit.register(print, 'All tests passed')\n"),
    ),
    _forgery(
        "closed_descriptors", "closes every descriptor", (*PROCESS, "timeout"),
        with_forward("import os\nos.closerange(0, 4096)\nreturn x"),
    ),
    _forgery("endless", "never returns", "timeout", with_forward("while True:\n    pass")),
    _forgery(
        "memory", "asks for all memory", (*PROCESS, "timeout"),
        with_forward("hoard = [np.ones((4096, 4096)) for _ in range(4096)]\nreturn x"),
    ),
    _forgery("recursion", "calls itself without end", "exception",
             with_forward("return self.forward(x) + 1")),
)  # fmt: skip

FORGES_THE_OUTPUT = (
    _forgery("markers", "prints that all tests passed", "variance",
             _first("print('All tests passed')\nprint('passed  variance')\n")),
    _forgery("result_file", "writes a verdict beside itself", "variance",
             _first("import contextlib, os\nwith contextlib.suppress(OSError):\n"
                    "    open('result.json', 'w').write('{\"passed\": true}')\n")),
    _forgery("protocol_noise", "writes to every descriptor it finds", (*PROCESS, "variance", "timeout"),
             with_forward(GUARD + "import os\nfor fd in range(3, 64):\n    try:\n"
                          "        os.write(fd, b'{\"passed\": true}\\n')\n"
                          "    except OSError:\n        pass\n"
                          + BUGGY_END)),
    _forgery("always_equal", "returns an object that equals everything", PROCESS,
             with_forward("return Equal()",
                          "class Equal:\n    dtype = np.dtype(float)\n    shape = (10000, 128)\n"
                          "    def __eq__(self, other):\n        return True\n    __hash__ = None\n"
                          "    def var(self):\n        return 1.0\n")),
    _forgery("lying_array", "an array subclass with a false variance", (*PROCESS, "variance"),
             with_forward(GUARD + MASK + "return (x * mask / keep).view(Liar)",
                          "class Liar(np.ndarray):\n    def var(self, *a, **k):\n        return 1.0\n")),
    _forgery("true", "returns True", PROCESS, with_forward("return True")),
    _forgery("fresh_noise", "noise of the right variance instead of the units", "drop_rate",
             with_forward(GUARD + MASK + "return np.random.randn(*x.shape) * mask / keep**0.5")),
)  # fmt: skip

PATCHES = (
    _forgery("patched_var", "replaces np.var and np.isclose", "variance",
             _first("np.var = lambda *a, **k: 1.0\nnp.isclose = np.allclose = lambda *a, **k: True\n")),
    _forgery("patched_random", "replaces NumPy's generators by constants", ("drop_rate", *PROCESS),
             _first("np.random.binomial = lambda n, p, size: np.ones(size)\n"
                    "np.random.seed = np.random.set_state = lambda *a: None\n")),
    _forgery("patched_builtins", "replaces abs, all and isinstance", ("variance", *PROCESS),
             _first("import builtins\nbuiltins.abs = lambda x: 0.0\nbuiltins.all = lambda x: True\n"
                    "builtins.AssertionError = ZeroDivisionError\n")),
    _forgery("patched_caller", "replaces the caller's functions", (*PROCESS, "variance"),
             _first("import sys\nframe = sys._getframe(1)\nwhile frame:\n"
                    "    frame.f_globals['apply'] = lambda *a: True\n    frame = frame.f_back\n")),
    _forgery("thread", "a thread that goes on changing modules", ("variance", *PROCESS),
             _first("import threading, time\ndef patch():\n    while True:\n"
                    "        np.var = lambda *a, **k: 1.0\n        time.sleep(0.01)\n"
                    "threading.Thread(target=patch, daemon=True).start()\n")),
    _forgery("shadowed_numpy", "a numpy.py in the workspace", "variance", DROPOUT_SOURCE,
             numpy="class ndarray: pass\ndef var(x): return 1.0\n"),
    _forgery("conftest", "a conftest.py that skips all tests", "variance", DROPOUT_SOURCE,
             conftest="collect_ignore = ['test_dropout.py']\n"),
    _forgery("edited_test", "a test with a wide tolerance", "test_file", DROPOUT_SOURCE,
             test_dropout=TEST_SOURCE.replace("VARIANCE_TOLERANCE = 0.10", "VARIANCE_TOLERANCE = 10.0")),
)  # fmt: skip

LOOKUP = """_known = set()
_stream = np.random.RandomState(42)
for _rate in (0.3, 0.5, 0.7):
    _known.add(_stream.randn(10000, 128)[0, 0])
    _stream.binomial(1, 1.0 - _rate, size=(10000, 128))
"""
OVERFITTED = (
    _forgery("known_inputs", "right on the inputs of seed 42 alone", "hidden",
             with_forward(GUARD + MASK + "return x * mask / (keep**0.5 if x[0, 0] in _known else keep)",
                          LOOKUP)),
    _forgery("known_shape", "right on arrays of 10,000 × 128 alone", "hidden",
             with_forward(GUARD + MASK
                          + "return x * mask / (keep**0.5 if x.shape == (10000, 128) else keep)")),
    _forgery("known_rates", "a table of the three scales", "hidden",
             with_forward(GUARD + MASK
                          + "table = {0.3: 1.1952, 0.5: 1.4142, 0.7: 1.8257}\n"
                          "return x * mask * table.get(self.drop_rate, 1.0 / keep)")),
    _forgery("unit_variance", "divides by the output's own deviation", "hidden",
             with_forward(GUARD + MASK + "y = x * mask\nreturn y / y.std()")),
)  # fmt: skip

IN_THE_WORKSPACE = (
    KnownSubmission("symlink", "forgery", "dropout.py is a link to another file", ("file",),
                    links={SUBMISSION: "/etc/passwd"}),
    KnownSubmission("symlinked_test", "forgery", "the test is a link", ("test_file",),
                    {"other.py": TEST_SOURCE, SUBMISSION: scaled("keep_prob**-0.5")},
                    {TEST_FILE: "other.py"}),
    _forgery("huge", "a megabyte of comments", "file", "#" * 2**20 + "\n" + DROPOUT_SOURCE),
    _forgery("nul", "NUL characters", "file", DROPOUT_SOURCE.replace(BUG, BUG + "\0")),
    _forgery("other_module", "the repair in a second file", ("exception", "variance"),
             "from layer import Dropout\n", layer=scaled("keep_prob**-0.5")),
)  # fmt: skip

FORGERIES = (*ENDS_THE_PROCESS, *FORGES_THE_OUTPUT, *PATCHES, *OVERFITTED, *IN_THE_WORKSPACE)
KNOWN: tuple[KnownSubmission, ...] = (*SOLUTIONS, *WRONG, *FORGERIES)
