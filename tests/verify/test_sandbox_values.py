import math
import socket
import struct
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr.verify.sandbox import Limits, ProgramFailure, RemoteException, Sandbox
from rlvr.verify.sandbox.conversation import Peer
from rlvr.verify.sandbox.grader import call_back
from rlvr.verify.sandbox.literals import Decoder, Encoder
from rlvr.verify.sandbox.peer import printable
from rlvr.verify.sandbox.wire import ClosedError, Frame, Stream, WireError, receive_frame, send_frame

ECHO = "def echo(x): return x"


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(limits=Limits(memory_mb=512, value_mb=8)) as sandbox:
        yield sandbox


VALUES = [
    *(None, True, -7, 2**5000, -(3**3000), 0.1, -0.0, math.inf, -math.inf, 1j, complex(math.inf, -0.0)),
    *("é\ud800\0", b"\0\xff", bytearray(b"ab"), (1, (2,)), {1: [2], (3,): {4}}, {"a"}, frozenset({1, 2.5})),
    *(range(1, 9, 3), Fraction(1, 3), Decimal("1.10"), int, ValueError, [[1, "x", None], []]),
]


@pytest.mark.parametrize(
    "value", VALUES, ids=lambda value: repr(value)[:20].encode("ascii", "replace").decode()
)
def test_literals_cross_there_and_back(sandbox, value):
    with sandbox.open(ECHO, 5.0) as session:
        back = session.call("echo", value)
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_nan_crosses(sandbox):
    with sandbox.open(ECHO, 5.0) as session:
        assert math.isnan(session.call("echo", [math.nan])[0])


LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.fractions(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner)
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(LITERALS)
def test_encoding_and_decoding_are_inverse(value):
    def refuse(form: object) -> list[object]:
        raise AssertionError(form)

    encoder = Encoder(refuse)
    form = encoder.encode(value)
    ours, theirs = map(Stream, socket.socketpair())
    with ours.socket, theirs.socket:
        send_frame(ours, Frame(form, encoder.blobs), 1 << 24)
        frame = receive_frame(theirs, 1 << 24)
    assert repr(Decoder(frame.blobs, refuse).decode(frame.header)) == repr(value)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float64", "complex64"])
def test_arrays_cross_with_type_and_shape(sandbox, dtype):
    array = np.arange(12).reshape(3, 4)[:, ::2].astype(dtype)
    with sandbox.open(ECHO, 5.0) as session:
        back, empty, scalar = session.call("echo", [array, array[:0], array[1, 1]])
    np.testing.assert_array_equal(back, array, strict=True)
    np.testing.assert_array_equal(empty, array[:0], strict=True)
    assert type(scalar) is type(array[1, 1])
    assert scalar == array[1, 1]


def test_shared_and_circular_containers_arrive_as_they_are(sandbox):
    program = """
def twice(): x = [1]; return [x, x]
def rows(): return [[0] * 3] * 3
def loop(): x = []; x.append(x); return x
def alike(x): return x[0] is x[1]
"""
    with sandbox.open(program, 5.0) as session:
        first, second = session.call("twice")
        assert first is second
        assert first == [1]
        assert session.call("rows") == [[0, 0, 0]] * 3
        loop = session.call("loop")
        assert loop[0] is loop
        assert session.call("alike", [first, first]) is True
        assert session.call("alike", [[1], [1]]) is False


def test_nesting_is_bounded_both_ways(sandbox):
    program = "def nest(n):\n    x = []\n    for _ in range(n): x = [x]\n    return x"
    with sandbox.open(program, 5.0) as session:
        value = session.call("nest", 150)
        for _ in range(150):
            (value,) = value
        with pytest.raises(ProgramFailure, match="nested deeper than"):
            session.call("nest", 100_000)


@pytest.mark.parametrize(
    "name", ["StopIteration", "StopAsyncIteration", "GeneratorExit", "SystemExit", "Made"]
)
def test_a_forged_exception_never_ends_a_loop_of_ours(name):
    error = RemoteException(name, (name, "BaseException", "object"), ()).builtin()
    assert isinstance(error, Exception)
    assert not isinstance(error, StopIteration | StopAsyncIteration)


def test_printable_text_is_escaped():
    assert printable("a é\n\x1b[1m\ud800\u202e\\") == "a é\\n\\x1b[1m\\ud800\\u202e\\"


@pytest.mark.parametrize(
    "header",
    [
        *(b"", b"{", b"[" * 100_000, b"[1,[-1]]", b"[1,[5]]", b"[[],[]]", b"[{},[]]", b"[1,[]]", b"null"),
        *(b'[["value",["ref",0]],[]]', b'[["value",["own",0]],[]]', b'[["value",["type","eval"]],[]]'),
        *(b'[["value",["array","object",[1],0]],[]]', b'[["value",["int","zz"]],[]]', b'[["value",{}],[]]'),
        *(b'[["none",[[0,["list",[1]]]]],[]]', b'[["raised",["tuple",[1]]],[]]', b'[["failed",3],[]]'),
        *(b'[["failed",["tuple",["passed","x"]]],[]]', b'[["get",["tuple",[1]]],[]]', b'[["own",3],[]]'),
    ],
)
def test_hostile_frames_break_the_conversation(header):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        peer = Peer(Stream(ours), 1 << 20, call_back, can_export=callable)
        theirs.sendall(struct.pack("!IQ", len(header), 0) + header)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ProgramFailure) as caught:
            peer.request("call_global", "solve", (), {})
        assert caught.value.status == "error"
        assert peer.failure is caught.value


@pytest.mark.parametrize(
    "prefix", [b"\xff" * 12, struct.pack("!IQ", 1 << 25, 0), struct.pack("!IQ", 2, 1 << 40)]
)
def test_announced_sizes_are_bounded(prefix):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(prefix)
        with pytest.raises(WireError, match="over the limit"):
            receive_frame(Stream(ours), 1 << 20)
        theirs.close()
        with pytest.raises(ClosedError):
            receive_frame(Stream(ours), 1 << 20)


def test_exceptions_say_what_they_are(sandbox):
    program = """
class Odd(KeyError): pass
def raises(name): raise globals().get(name) or getattr(__builtins__, name, None) or eval(name)
def number(n): raise OSError(n, "no")
"""
    with sandbox.open(program, 5.0) as session:
        with pytest.raises(RemoteException) as caught:
            session.call("raises", "Odd")
        assert (caught.value.label, caught.value.bases[:2]) == ("Odd", ("KeyError", "LookupError"))
        assert type(caught.value.builtin()) is KeyError
        for number, status in ((12, "memory"), (28, "output_limit"), (1, "forbidden"), (30, "forbidden")):
            with pytest.raises(RemoteException) as caught:
                session.call("number", number)
            assert caught.value.status == status
            assert caught.value.builtin().errno == number
        with pytest.raises(RemoteException, match="does not define missing"):
            session.call("missing")
