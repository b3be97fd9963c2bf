"""What a program may use."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of one program; MB are 2**20 bytes, KB 2**10.

    `memory_mb`: address space. `file_mb`: one file. `folder_mb`: its private temporary folder, on the rungs
    that mount it. `output_kb`: what it prints. `value_mb`: one message with its caller, an array of an
    argument or result included. `processes`: processes and threads. `open_files`: file descriptors.
    """

    memory_mb: int = 1024
    file_mb: int = 16
    folder_mb: int = 64
    output_kb: int = 1024
    value_mb: int = 128
    processes: int = 64
    open_files: int = 64

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} is {value!r}; a limit is a positive whole number")

    @property
    def value_bytes(self) -> int:
        """Bytes of one message."""
        return self.value_mb << 20
