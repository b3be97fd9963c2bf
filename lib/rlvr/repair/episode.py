"""Episodes: an agent repairs a workspace in one to three replies, and is rewarded by the grader alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rlvr.repair.attempts import solve_and_grade
from rlvr.repair.chat import Chat, Conversation, Message
from rlvr.repair.checks import FailureKind
from rlvr.repair.grade import Grader
from rlvr.repair.protocol import first_message, read_calls
from rlvr.repair.solver import Attempt, ToolResult, Transcript, Turn
from rlvr.repair.text import storable
from rlvr.repair.tools import Toolbox
from rlvr.verify.sandbox.client import Sandbox

MAX_TURNS = 3


@dataclass(frozen=True)
class Episode:
    """A finished episode: `reward` is 1.0 if the grader passes the workspace, else 0.0.

    `kind` and `feedback` as in `Grade`; `seconds`: its share of the time of its batch, and its grading.
    """

    number: int
    turns: tuple[Turn, ...]
    reward: float
    kind: FailureKind | Literal[""]
    feedback: str
    seconds: float


class ChatSolver:
    """A solver over a chat: the attempts of a batch take their turns together."""

    def __init__(self, name: str, model: str, chat: Chat, sandbox: Sandbox, turns: int):
        self.name = name
        self.model = model
        self._chat = chat
        self._sandbox = sandbox
        self._turns = turns

    def solve(self, attempts: Sequence[Attempt]) -> list[Transcript]:
        """Let the chat work on each workspace until it uses no tool, or its turns are up."""
        messages = {a.number: [Message("user", first_message(self._turns))] for a in attempts}
        turns: dict[int, list[Turn]] = {attempt.number: [] for attempt in attempts}
        active = list(attempts)
        for _ in range(self._turns):
            if not active:
                break
            replies = self._chat.reply([Conversation(a.number, tuple(messages[a.number])) for a in active])
            going_on = []
            for attempt, reply in zip(active, map(storable, replies), strict=True):
                turn, goes_on = self._take(attempt, reply)
                turns[attempt.number].append(turn)
                messages[attempt.number] += [Message("assistant", reply), _results(turn.calls)]
                if goes_on:
                    going_on.append(attempt)
            active = going_on
        return [Transcript(_label(turns[a.number]), tuple(turns[a.number])) for a in attempts]

    def _take(self, attempt: Attempt, reply: str) -> tuple[Turn, bool]:
        toolbox = Toolbox(attempt.workspace, self._sandbox)
        calls, goes_on = read_calls(reply)
        return Turn(reply, tuple(toolbox.call(tool, arguments) for tool, arguments in calls)), goes_on


def _label(turns: Sequence[Turn]) -> str:
    return "1 turn" if len(turns) == 1 else f"{len(turns)} turns"


def _results(calls: Sequence[ToolResult]) -> Message:
    return Message(
        "user", "\n\n".join(f"Result of {call.tool or 'the block'}:\n{call.output}" for call in calls)
    )


def run_episodes(
    chat: Chat, sandbox: Sandbox, numbers: Sequence[int], turns: int = 3, grader: Grader | None = None
) -> list[Episode]:
    """One episode per number, in order, each in a fresh workspace that is gone afterwards.

    The numbers name the episodes and their random streams; they must differ. By default the grader is the
    installation's, in the same sandbox.
    """
    if not 1 <= turns <= MAX_TURNS:
        raise ValueError(f"turns is {turns}; allowed: 1 to {MAX_TURNS}")
    if len(set(numbers)) < len(numbers):
        raise ValueError("two episodes have the same number")
    solver = ChatSolver("", "", chat, sandbox, turns)
    graded = solve_and_grade(solver, Grader(sandbox) if grader is None else grader, numbers)
    return [
        Episode(
            number=attempt.number,
            turns=attempt.transcript.turns,
            reward=1.0 if attempt.grade.passed else 0.0,
            kind=attempt.grade.kind,
            feedback=attempt.grade.feedback,
            seconds=attempt.solving_seconds + attempt.grade.seconds,
        )
        for attempt in graded
    ]
