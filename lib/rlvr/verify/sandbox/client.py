"""Worker slots for programs."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Literal, Self

from rlvr.errors import UserError
from rlvr.verify.sandbox.helper import StartError
from rlvr.verify.sandbox.jail import Jail, RungName, Slot
from rlvr.verify.sandbox.lending import Lender
from rlvr.verify.sandbox.limits import Limits
from rlvr.verify.sandbox.peer import ProgramFailure
from rlvr.verify.sandbox.rungs import choose
from rlvr.verify.sandbox.session import Session


def _start(jail: Jail, limits: Limits, preload: tuple[str, ...]) -> Slot:
    """A slot; UserError where none starts, though one of its rung did when that was chosen."""
    try:
        return Slot(jail, limits, preload)
    except StartError as error:
        raise UserError(
            f"The sandbox `{jail.rung}` could not start a process for programs: {error}"
        ) from error


class Sandbox:
    """A context manager with worker slots, each a warm server inside the strongest jail that works here.

    Usable from several threads: `open` waits for a free slot. Slots start when first needed and are replaced
    when they die. `rung` forces a rung, for tests. `preload` names modules that every program finds imported.
    """

    def __init__(
        self,
        slots: int = 1,
        limits: Limits = Limits(),  # noqa: B008 -- frozen
        require_isolation: Literal["any", "strong"] = "any",
        rung: RungName | Jail | None = None,
        preload: tuple[str, ...] = (),
    ) -> None:
        self.limits = limits
        self.jail: Jail = choose(require_isolation, rung)
        self._slots = Lender(partial(_start, self.jail, limits, preload), slots)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End all slots that are free; the sandbox can be used again."""
        self._slots.close()

    def slot(self) -> AbstractContextManager[Slot]:
        """Lend a slot to one who talks to its server directly."""
        return self._slots.lend()

    @contextmanager
    def open(self, program: str, time_limit_s: float) -> Iterator[Session]:
        """Run a fresh process that has executed `program`; `time_limit_s` is for all that is done with it."""
        with self.slot() as slot:
            session = Session(slot, self.limits, time_limit_s)
            try:
                session.load(program)
                yield session
            finally:
                ended = session.end()
            if ended["overflow"]:
                raise ProgramFailure("output_limit", "printed more than the limit")
