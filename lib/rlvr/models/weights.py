"""Weights on disk (safetensors, one file or Hugging Face's shards) and their fingerprint."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rlvr.errors import UserError
from rlvr.models.weight_files import SINGLE_FILE, weight_files
from rlvr.processes import is_first_process
from rlvr.shards import copy_into, whole


def weight_hash(named_tensors: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 over name, dtype, shape and bytes of each tensor, in the order of the names.

    A collective for tensors that are divided among processes.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(named_tensors, key=lambda item: item[0]):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        plain = whole(tensor).detach().cpu().contiguous().reshape(-1)
        digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_weights(folder: str | Path) -> Iterator[tuple[str, Tensor]]:
    """Yield each stored weight with its name, in its stored dtype, one at a time.

    UserError names a file that is cut off or damaged.
    """
    for path in weight_files(Path(folder)):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - not a dict
                    yield name, file.get_tensor(name)
        except SafetensorError as error:
            raise UserError(
                f"{path.resolve()}: cut off or damaged ({error}); put a whole file in its place, or delete "
                "its folder, if a job made that, and let the job make it again"
            ) from error


def write_weights(named_tensors: Iterable[tuple[str, Tensor]], folder: str | Path) -> None:
    """Write all weights to the folder's single safetensors file, in the dtypes that they have.

    A collective for tensors that are divided among processes: the first one writes, and holds them all.
    """
    tensors = {}
    for name, tensor in named_tensors:
        gathered = whole(tensor)
        if is_first_process():
            tensors[name] = gathered.detach().cpu().contiguous()
    if is_first_process():
        save_file(tensors, Path(folder) / SINGLE_FILE, metadata={"format": "pt"})


def copy_weights(
    source: Iterable[tuple[str, Tensor]], target: Mapping[str, Tensor], ignored: frozenset[str] = frozenset()
) -> None:
    """Copy weights by name into `target`, cast to its dtypes; names and shapes must match exactly.

    Both sides may be divided among processes; it is a collective then, one weight after the other.
    `ignored`: names that `source` may hold and `target` need not (the head of a model with tied embeddings).
    """
    missing = set(target)
    with torch.no_grad():
        for name, tensor in source:
            if name in target:
                if tensor.shape != target[name].shape:
                    raise UserError(
                        f"weight {name} has shape {tuple(tensor.shape)}; "
                        f"the model needs {tuple(target[name].shape)}"
                    )
                copy_into(target[name], tensor)
                missing.discard(name)
            elif name not in ignored:
                raise UserError(f"weight {name} is not part of the model")
    if missing:
        raise UserError(f"weights are missing: {', '.join(sorted(missing))}")
