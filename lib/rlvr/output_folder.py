"""The folder that a person names on the command line for what a command writes."""

import tempfile
from pathlib import Path

from rlvr.errors import UserError


def output_folder(argument: str, folder: str) -> Path:
    """The folder, which exists and can be written from now on: else a run is lost when it ends.

    UserError with the argument that named it, and the system's reason.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(f"argument {argument}: {folder}: {error.strerror}") from error
    return path
