"""Reads TensorBoard event files back."""

import struct


def read_scalars(file):
    """(tag, step) -> value of an events file: records of length, checksum, event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    data, place, found = file.read_bytes(), 0, {}
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        event = Event.FromString(data[place + 12 : place + 12 + length])
        place += length + 16
        found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
    return found
