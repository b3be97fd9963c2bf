"""Tensors of several policies side by side, one name at a time."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from rlvr.diagnostics.sparsity import all_finite
from rlvr.errors import UserError
from rlvr.models.weight_files import weight_files

# With tied embeddings a copy of them, which some folders hold and others do not.
TIED = "lm_head.weight"


@dataclass(frozen=True)
class StoredTensor:
    """One weight in a safetensors file, not read yet."""

    file: Path
    name: str
    shape: tuple[int, ...]

    def read(self) -> Tensor:
        """The weight in its stored dtype: a view of the mapped file, whose pages are read when touched.

        The file is opened for this one tensor, so its pages are unmapped when the tensor is dropped.
        """
        with safe_open(self.file, framework="pt") as file:
            return file.get_tensor(self.name)

    def read_finite(self) -> Tensor:
        """What `read` gives; UserError where an element is infinite or NaN."""
        weight = self.read()
        if not all_finite(weight):
            raise UserError(f"{self.file.parent}: weight {self.name} is not finite")
        return weight


def _stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    stored = {}
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                stored[name] = StoredTensor(path, name, tuple(file.get_slice(name).get_shape()))
    return stored


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts layer 10 after layer 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _check_alike(
    folder: Path, own: dict[str, StoredTensor], first: Path, reference: dict[str, StoredTensor]
) -> None:
    for name in sorted(own.keys() | reference.keys(), key=_natural):
        for owner, other, absent in (
            (first, folder, name not in own),
            (folder, first, name not in reference),
        ):
            if absent:
                raise UserError(
                    f"{other}: no weight {name}, which {owner} has; "
                    "only policies of one architecture can be compared"
                )
        if own[name].shape != reference[name].shape:
            raise UserError(
                f"{folder}: weight {name} has shape {own[name].shape}; in {first} it has "
                f"{reference[name].shape}; only policies of one architecture can be compared"
            )


def stream_tensors(folders: Sequence[str | Path]) -> Iterator[tuple[str, tuple[StoredTensor, ...]]]:
    """Yield each weight's name with its stored tensors, one from each policy folder, in the folders' order.

    Folders are in Hugging Face format: model.safetensors, or shards with their index; they may be cut into
    shards differently. Names come in natural order. Nothing is read before `StoredTensor.read`, so who holds
    one tensor at a time needs the memory of the largest tensor, not of a model.

    An output head that not every folder holds is left out. UserError, before the first name, for a folder
    without weights, and where a folder lacks a weight of the first one, has one more, or has another shape;
    the message names folder and weight.
    """
    paths = [Path(folder) for folder in folders]
    stored = [_stored_tensors(path) for path in paths]
    if not all(TIED in own for own in stored):
        for own in stored:
            own.pop(TIED, None)
    for path, own in zip(paths[1:], stored[1:], strict=True):
        _check_alike(path, own, paths[0], stored[0])
    for name in sorted(stored[0], key=_natural):
        yield name, tuple(own[name] for own in stored)
