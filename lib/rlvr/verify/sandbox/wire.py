"""Frames of JSON and raw bytes between a program and those who call it.

Each side treats the other as hostile: nothing is unpickled or evaluated, and sizes are bounded.
"""

import json
import math
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any

MAX_HEADER_BYTES = 16 << 20  # JSON grows about twentyfold when it becomes objects

_PREFIX = struct.Struct("!IQ")


class WireError(Exception):
    """A frame that is no frame of ours: the other side broke the protocol."""


class TooLargeError(Exception):
    """A value over the size limit of what crosses."""


class ClosedError(Exception):
    """The other side has closed the connection."""


@dataclass(eq=False)
class Stream:
    """A connected socket; what is not done by `deadline` (of time.monotonic) raises TimeoutError."""

    socket: socket.socket
    deadline: float = math.inf

    def arm(self) -> None:
        """Give the next operation the time that is left."""
        if self.deadline < math.inf:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.socket.settimeout(left)


@dataclass
class Frame:
    """JSON `header`, which refers to `blobs` by position."""

    header: Any
    blobs: list[bytes] = field(default_factory=list)


def send_frame(stream: Stream, frame: Frame, max_bytes: int) -> None:
    """Send a frame; TooLargeError if it exceeds `max_bytes`, ClosedError if nobody reads."""
    lengths = [len(blob) for blob in frame.blobs]
    text = json.dumps([frame.header, lengths], separators=(",", ":"), check_circular=False).encode()
    body = sum(lengths)
    if len(text) > MAX_HEADER_BYTES or len(text) + body > max_bytes:
        raise TooLargeError(f"a value of {len(text) + body:,} bytes, over the limit of what may cross")
    stream.arm()
    try:
        stream.socket.sendall(b"".join([_PREFIX.pack(len(text), body), text, *frame.blobs]))
    except (BrokenPipeError, ConnectionResetError) as error:
        raise ClosedError from error


def receive_frame(stream: Stream, max_bytes: int) -> Frame:
    """Receive a frame; ClosedError at the end of the stream, WireError if it is malformed."""
    length, body = _PREFIX.unpack(_receive(stream, _PREFIX.size))
    if length > MAX_HEADER_BYTES or length + body > max_bytes:  # our own sender would have refused it
        raise WireError("a frame over the limit")
    text, data = _receive(stream, length), _receive(stream, body)
    try:
        header, lengths = json.loads(text)
        blobs, start = [], 0
        for size in lengths:
            if type(size) is not int or size < 0:
                raise WireError("a blob without a length")
            blobs.append(data[start : start + size])
            start += size
    except (ValueError, TypeError, RecursionError) as error:
        raise WireError(f"no frame: {type(error).__name__}") from error
    if start != body:
        raise WireError("blobs do not fill their frame")
    return Frame(header, blobs)


def _receive(stream: Stream, count: int) -> bytes:
    data = bytearray(min(count, 1 << 20))  # grows with what arrives, not with what is announced
    filled = 0
    while filled < count:
        if filled == len(data):
            data.extend(bytes(min(count - filled, len(data))))
        try:
            stream.arm()
            got = stream.socket.recv_into(memoryview(data)[filled:])
        except ConnectionResetError:
            got = 0
        if not got:
            raise ClosedError
        filled += got
    return bytes(data)
