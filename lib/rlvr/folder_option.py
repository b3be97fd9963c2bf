"""A folder that an option of the command line names, for what a command writes."""

from pathlib import Path

from rlvr.errors import UserError


def make_folder(option: str, folder: str) -> Path:
    """The folder, which exists from now on, so that no work is lost because it cannot.

    UserError names the option.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"argument {option}: {folder}: {error.strerror}") from error
    return Path(folder)
