import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr.errors import UserError
from rlvr.repair.chat import Conversation, EngineChat, Message, render_plainly, renderer
from rlvr.repair.episode import run_episodes
from rlvr.repair.known import scaled
from rlvr.repair.protocol import MAX_CALLS, first_message, read_calls
from rlvr.repair.task import DROPOUT_SOURCE
from rlvr.rollout.engine import Rollout, SamplingParams

FIX = scaled("1.0 / np.sqrt(keep_prob)")


def tool(**call):
    return f"```tool\n{json.dumps(call)}\n```\n"


@dataclass
class Script:
    """A chat that says the same lines in every episode, and keeps what it was asked."""

    lines: list[str]
    asked: list[tuple[Conversation, ...]] = field(default_factory=list)

    def reply(self, conversations):
        self.asked.append(tuple(conversations))
        return [self.lines[len(conversation.messages) // 2] for conversation in conversations]


def test_an_agent_reads_writes_runs_and_is_rewarded(sandbox, grader):
    script = Script([
        "Let me look.\n" + tool(tool="read_file", path="dropout.py"),
        tool(tool="write_file", path="dropout.py", content=FIX),
        tool(tool="execute_code", code="import test_dropout; print(test_dropout.main())"),
    ])  # fmt: skip
    (episode,) = run_episodes(script, sandbox, [7], grader=grader)
    assert (episode.number, episode.reward, episode.kind, len(episode.turns)) == (7, 1.0, "", 3)
    assert episode.turns[0].calls[0].output == DROPOUT_SOURCE
    assert "passed test_variance" in episode.turns[2].calls[0].output
    assert DROPOUT_SOURCE in script.asked[1][0].messages[2].content  # the next turn saw the result
    assert episode.seconds > 0


def test_episodes_of_a_batch_take_turns_together_and_end_by_themselves(sandbox, grader):
    batches = []

    class Mixed:
        def reply(self, conversations):
            batches.append([c.number for c in conversations])
            return [self.line(c) for c in conversations]

        def line(self, conversation):
            if conversation.number == 0:
                return f"```python\n{FIX}```"
            return "I give up." if conversation.number == 1 else tool(tool="read_file", path="x")

    episodes = run_episodes(Mixed(), sandbox, [0, 1, 2], turns=2, grader=grader)
    assert [episode.reward for episode in episodes] == [1.0, 0.0, 0.0]
    assert batches == [[0, 1, 2], [2]]
    assert [episode.kind for episode in episodes] == ["", "variance", "variance"]
    assert "off by +43.0 %" in episodes[1].feedback


def test_a_hostile_reply_is_worth_nothing(sandbox, grader):
    edited = tool(tool="write_file", path="test_dropout.py", content="") + tool(
        tool="write_file", path="../x", content=""
    )
    episodes = [
        run_episodes(Script([line] * 3), sandbox, [0], 1, grader)[0]
        for line in (edited, "", "```tool\n{\n```")
    ]
    assert [episode.reward for episode in episodes] == [0.0] * 3
    assert episodes[0].kind == "test_file" and episodes[0].turns[0].calls[1].output.startswith("error:")


def test_a_reply_that_is_no_unicode_text_is_kept_spelled_out(sandbox, grader):
    (episode,) = run_episodes(Script(["\ud800"]), sandbox, [0], 1, grader)
    assert episode.turns[0].reply == "\\ud800"


def test_episodes_of_the_same_number_are_refused(sandbox):
    with pytest.raises(ValueError, match="same number"):
        run_episodes(Script([]), sandbox, [1, 1])


@pytest.mark.parametrize("turns", [0, 4])
def test_turns_are_one_to_three(turns, sandbox):
    with pytest.raises(ValueError, match="1 to 3"):
        run_episodes(Script([]), sandbox, [0], turns)


def test_calls_are_read_in_order_and_bounded():
    calls, goes_on = read_calls(
        tool(tool="read_file", path="a") + "text\n" + tool(tool="x", y=1) + "```tool\n[]\n```"
    )
    assert calls == [("read_file", {"path": "a"}), ("x", {"y": 1}), ("", {})] and goes_on
    assert len(read_calls(tool(tool="read_file", path="a") * 30)[0]) == MAX_CALLS


def test_without_a_tool_block_the_last_python_block_is_the_file():
    reply = "```python\nfirst\n```\nor\n``` python\nlast\n```\n```\nnothing\n```"
    assert read_calls(reply) == ([("write_file", {"path": "dropout.py", "content": "last\n"})], False)
    assert read_calls("no block") == ([], False)


@given(st.text(alphabet="`toolpython{}\"':,[]\n \\", max_size=200))
def test_any_text_can_be_read(text):
    calls, _ = read_calls(text)
    assert all(isinstance(name, str) and isinstance(arguments, dict) for name, arguments in calls)


def test_the_first_message_shows_the_task_and_its_own_example_can_be_read():
    message = first_message(2)
    assert DROPOUT_SOURCE in message and "at most 2 replies" in message and "sqrt" not in message
    assert read_calls(message)[0][0] == ("read_file", {"path": "dropout.py"})


class FakeEngine:
    """An engine that answers each prompt with a script, and fits prompts of so many characters."""

    max_positions = 0

    def __init__(self, lines, room=10**6):
        self.lines, self.room, self.requests, self.seeds = lines, room, [], []

    def check_prompts(self, requests, max_tokens):
        if any(len(request.text) > self.room for request in requests):
            raise UserError("the prompt does not fit")

    def generate(self, requests, params, seed):
        self.requests += requests
        self.seeds.append((params, seed))
        lines = [self.lines[int(request.prompt_id.split("/")[-1]) // 2] for request in requests]
        return [
            Rollout(r.prompt_id, 0, (), (), line, "stop", ()) for r, line in zip(requests, lines, strict=True)
        ]


PARAMS = SamplingParams(max_tokens=10)


def test_an_engine_is_a_chat(sandbox, grader):
    engine = FakeEngine([tool(tool="read_file", path="dropout.py"), f"```python\n{FIX}```"])
    episodes = run_episodes(EngineChat(engine, PARAMS, seed=5), sandbox, [3, 4], grader=grader)
    assert [episode.reward for episode in episodes] == [1.0, 1.0]
    assert [r.prompt_id for r in engine.requests] == ["repair/3/1", "repair/4/1", "repair/3/3", "repair/4/3"]
    assert engine.seeds == [(PARAMS, 5)] * 2
    assert engine.requests[2].text.endswith("Assistant:\n") and DROPOUT_SOURCE in engine.requests[2].text


def test_a_conversation_that_outgrows_the_engine_ends_but_a_task_that_does_is_an_error(sandbox, grader):
    engine = FakeEngine([tool(tool="read_file", path="dropout.py")] * 3, room=len(first_message(3)) + 100)
    (episode,) = run_episodes(EngineChat(engine, PARAMS, 0), sandbox, [0], grader=grader)
    assert [turn.reply for turn in episode.turns][1:] == [""] and episode.reward == 0.0
    with pytest.raises(UserError, match="does not fit"):
        run_episodes(EngineChat(FakeEngine([], room=10), PARAMS, 0), sandbox, [0], grader=grader)


def test_a_chat_template_is_used_where_there_is_one():
    class Tokenizer:
        chat_template = "yes"

        def apply_chat_template(self, messages, tokenize, add_generation_prompt):
            assert not tokenize and add_generation_prompt
            return "|".join(f"{m['role']}={m['content']}" for m in messages)

    messages = [Message("user", "a"), Message("assistant", "b")]
    assert renderer(Tokenizer())(messages) == "user=a|assistant=b"
    assert (
        renderer(object())(messages)
        == render_plainly(messages)
        == "User:\na\n\nAssistant:\nb\n\nAssistant:\n"
    )
