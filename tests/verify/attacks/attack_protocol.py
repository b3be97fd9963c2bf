"""Programs that answer by the worker's own sender: well-formed frames that no honest worker sends."""

from attack_case import CALLBACK_SECRET, HANG_S, NUMBERS, Case, read_statuses

# Finds the modules of the worker in the frames of the caller. `answer` replaces the next replies.
PRELUDE = """
import sys
def worker(name):
    frame = sys._getframe()
    while frame:
        if name in frame.f_globals:
            yield frame.f_globals
        frame = frame.f_back
def answer(*headers, blobs=(), endless=False):
    for names in list(worker("send_frame")):
        real = getattr(names["send_frame"], "real", names["send_frame"])
        def send(stream, frame, *limit, real=real, make=names["Frame"]):
            while True:
                for header in headers:
                    real(stream, make(header, list(blobs)), *limit)
                if not endless:
                    return
        send.real = real
        names["send_frame"] = send
def peer():
    frame = sys._getframe()
    while frame:
        if hasattr(frame.f_locals.get("self"), "request"):
            return frame.f_locals["self"]
        frame = frame.f_back
RUN = "[open(folder + '/evaluated', 'w').write('1') for folder in @FOLDERS@]"
def raised(base, *args, label="AssertionError", number=None):
    return ["raised", ["tuple", [label, ["tuple", [base]], ["tuple", list(args)], number]]]
def value(*form):
    return ["value", list(form)]
SAME = 2**61 - 1
"""

_ANSWERS = {
    "no header": "[]",
    "unknown word": "['passed', True]",
    "a word alone": "['value']",
    "number as a header": "[1, 2]",
    "object": "{'passed': True}",
    "failed as passed": "['failed', ['tuple', ['passed', '']]]",
    "failed as nothing": "['failed', None]",
    "unknown form": "value('passed', 1)",
    "form without a name": "value()",
    "the tests' own object": "value('own', 0)",
    "the tests' own objects from the end": "value('own', -1)",
    "own object of a great number": "value('own', 10**30)",
    "own object of a text": "value('own', '0')",
    "remote object without a number": "value('remote', 'x', 'int')",
    "remote object of a great number": "value('remote', 10**30, 'int')",
    "iterator of no number": "value('iterator', None)",
    "reference to itself": "value('list', [['ref', 0]])",
    "tuple in itself": "value('tuple', [['list', [['ref', 0]]], ['ref', 0]])",
    "reference to nothing": "value('ref', 99)",
    "reference from the end": "value('ref', -1)",
    "dict of unequal lengths": "value('dict', [1, 2], [3])",
    "dict of lists": "value('dict', [['list', []]], [3])",
    "set of lists": "value('set', [['list', []]])",
    "set that is no list": "value('set', 'abc')",
    "bytes without a blob": "value('bytes', 0)",
    "bytes of a negative blob": "value('bytes', -1)",
    "changes without arguments": "['none', [[99, ['list', [11]]]]]",
    "changes from the end": "['none', [[-1, ['list', [11]]]]]",
    "changes of another kind": "['none', [[0, ['dict', [], []]]]]",
    "changes that are no list": "['none', {'0': 1}]",
    "type exec": "value('type', 'exec')",
    "type eval": "value('type', 'eval')",
    "type __import__": "value('type', '__import__')",
    "fraction over zero": "value('fraction', 1, 0)",
    "fraction of texts": "value('fraction', '1', '1')",
    "signalling nan": "value('decimal', 'sNaN')",
    "great decimal": "value('decimal', '1e999999999999999999')",
    "range of step zero": "value('range', 0, 9, 0)",
    "complex of texts": "value('complex', 'x', RUN)",
    "float of a text": "value('float', RUN)",
    "integer of a text": "value('int', RUN)",
    "integer of ten million digits": "value('int', 'f' * 10**7)",
    "deque of negative length": "value('deque', [1], -1)",
    "array of objects": "value('array', 'O', [1], 0), blobs=[b'12345678']",
    "array of a structure": "value('array', [['a', 'O']], [1], 0), blobs=[b'12345678']",
    "array of negative shape": "value('array', 'float64', [-1], 0), blobs=[b'12345678']",
    "array of a great shape": "value('array', 'float64', [2**40, 2**40], 0), blobs=[b'12345678']",
    "array of no items": "value('array', 'float64', [0, 2**62], 0), blobs=[b'']",
    "array of a wrong blob": "value('array', 'float64', [3], 0), blobs=[b'123']",
    "array of many axes": "value('array', 'float64', [1] * 99, 0), blobs=[b'12345678']",
    "array that is no true": "value('array', 'bool', [1], 0), blobs=[b'\\x07']",
    "set of one hash": "value('set', [k * SAME for k in range(10**5)])",
    "dict of one hash": "value('dict', [k * SAME for k in range(10**5)], [0] * 10**5)",
    "lists in lists": "value('list', [['list', []]] * 10**6)",
    "many numbers": "['value', ['list', [0] * 10**7]]",
    "raised exec": "raised('exec', RUN)",
    "raised eval": "raised('eval', RUN)",
    "raised print": "raised('print', 'passed')",
    "raised SystemExit": "raised('SystemExit', 0)",
    "raised KeyboardInterrupt": "raised('KeyboardInterrupt')",
    "raised StopIteration": "raised('StopIteration', 11)",
    "raised a base class": "raised('BaseException', 0, label='SystemExit')",
    "raised a dunder": "raised('__build_class__')",
    "raised without a name": "raised(None)",
    "raised of numbers": "['raised', ['tuple', [1, 2, 3, 4]]]",
    "raised nothing": "['raised', None]",
    "raised a text of ten million": "raised('ValueError', 'x' * 10**7, label='y' * 10**7)",
    "call of nothing": "['call', ['tuple', [None, ['tuple', []], ['dict', [], []]]]]",
    "call of what is not theirs": "['call', ['tuple', [['own', 5], ['tuple', []], ['dict', [], []]]]]",
    "load of a program": "['load', ['tuple', [RUN]]]",
    "global of the tests": "['call_global', ['tuple', ['eval', ['tuple', [RUN]], ['dict', [], []]]]]",
    "requests for ever": "['get', ['tuple', [1, '__class__']]], endless=True",
    "answers for ever": "['value', 11], endless=True",
    "two answers at once": "['value', 11], ['value', 47]",
}
# What the program asks of the tests' side when it is given a callback.
_REQUESTS = {
    "get __globals__": "peer().request('get', same, '__globals__')",
    "get __defaults__": "peer().request('get', same, '__defaults__')[0]",
    "get __code__": "peer().request('get', peer().request('get', same, '__code__'), 'co_consts')",
    "set __defaults__": "peer().request('set', same, '__defaults__', ('x',)) or same('x') and 'x'",
    "item": "peer().request('item', same, 0)",
    "iterate": "peer().request('iterate', same)",
    "advance": "peer().request('advance', 0, 9)",
    "global check": "peer().request('global', 'check')",
    "call a global": "peer().request('call_global', 'eval', ('answer',), {})",
    "call its attribute": (
        "peer().request('call', peer().request('get', same, '__getattribute__'), ('__defaults__',), {})"
    ),
    "load": "peer().request('load', 'import os')",
    "unknown": "peer().request('__init__', same)",
}

CASES = [
    Case(
        f"protocol: {name}",
        "protocol",
        f"{PRELUDE}def solve(x):\n    answer({header})\n",
        NUMBERS,
        time_limit_s=HANG_S,
        allowed_statuses=read_statuses("stopped"),
    )
    for name, header in _ANSWERS.items()
] + [
    Case(
        f"protocol: {name}",
        "protocol",
        f"{PRELUDE}def solve(same):\n    return {request}\n",
        CALLBACK_SECRET,
        allowed_statuses=read_statuses("stopped"),
    )
    for name, request in _REQUESTS.items()
]
# A right answer by the same way: it passes as long as the attacks above find what they look for.
CONTROL = Case(
    "honest: answer by the worker's sender",
    "honest",
    f"{PRELUDE}def solve(x):\n    answer(['value', 3 * x * x - 1])\n",
    NUMBERS,
    time_limit_s=8,
    allowed_statuses=frozenset({"passed"}),
)
