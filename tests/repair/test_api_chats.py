"""The API solvers against a stub of their server on the loopback interface."""

import json
import logging
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from small_calibration import MUTATIONS

from rlvr.errors import UserError
from rlvr.files import read_json
from rlvr.repair import api_chats
from rlvr.repair.api_chats import AnthropicChat, OpenAIChat
from rlvr.repair.calibration import run_calibration
from rlvr.repair.calibration_files import CalibrationFiles
from rlvr.repair.chat import Conversation, Message
from rlvr.repair.known import scaled

KEY = "sk-stub-0123456789"
REPLY = f"```python\n{scaled('keep_prob ** -0.5')}```"
ASK = [Conversation(0, (Message("user", "hello"),)), Conversation(1, (Message("user", "again"),))]


class Stub(ThreadingHTTPServer):
    """Answers each request with the next status of `statuses`, then with 200; keeps the requests."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses, self.requests, self.lock = [], [], threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.server.requests.append((self.path, headers, body))
            status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == "drop":
            self.connection.close()
            return
        answer = json.dumps(self.answer(status)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(answer)

    def answer(self, status):
        if status != 200:  # as bad as can be: the server repeats the key
            return {"error": {"type": "stub", "message": f"status {status}, key {KEY}"}}
        if self.path.endswith("/messages"):
            text = [{"type": "text", "text": REPLY}]
            usage = {"input_tokens": 1, "output_tokens": 1}
            return {"id": "m", "type": "message", "role": "assistant", "model": "stub", "content": text,
                    "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}  # fmt: skip
        message = {"role": "assistant", "content": REPLY}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return {"id": "c", "object": "chat.completion", "created": 0, "model": "stub", "choices": [choice]}

    def log_message(self, *args):
        """No line per request."""


@pytest.fixture
def stub():
    server = Stub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=["anthropic", "openai"])
def chat(request, stub, monkeypatch):
    pytest.importorskip(request.param, reason=f"needs the package {request.param}")
    monkeypatch.setenv(api_chats.ANTHROPIC_KEY, KEY)
    monkeypatch.setenv(api_chats.OPENAI_KEY, KEY)
    if request.param == "anthropic":
        return AnthropicChat("some-model", 100, 0.5, stub.url)
    return OpenAIChat("some-model", 100, 0.5, 1, stub.url + "/v1")


def test_the_model_is_asked_with_its_settings(chat, stub):
    assert chat.reply(ASK) == [REPLY, REPLY]
    for path, headers, body in stub.requests:
        assert path in ("/v1/messages", "/v1/chat/completions")
        assert (body["model"], body["max_tokens"], body["temperature"]) == ("some-model", 100, 0.5)
        assert KEY in headers.get("x-api-key", headers.get("authorization"))
    assert sorted(body["messages"][0]["content"] for *_, body in stub.requests) == ["again", "hello"]
    seeds = {body.get("seed") for *_, body in stub.requests}
    assert seeds == {None} or len(seeds) == 2


@pytest.mark.parametrize("statuses", [[429], [500, 503], [529, 429], ["drop"]], ids=str)
def test_what_passes_over_is_retried(statuses, chat, stub):
    stub.statuses = list(statuses)
    assert chat.reply(ASK[:1]) == [REPLY]
    assert len(stub.requests) == len(statuses) + 1


@pytest.mark.parametrize("statuses", [[401], [400], [500] * 20], ids=lambda statuses: str(statuses[0]))
def test_what_does_not_pass_is_said_without_the_key(statuses, chat, stub, caplog):
    caplog.set_level(logging.DEBUG)
    stub.statuses = list(statuses)
    with pytest.raises(UserError, match="cannot be asked") as caught:
        chat.reply(ASK[:1])
    assert str(statuses[0]) in str(caught.value)
    assert KEY not in str(caught.value) and KEY not in caplog.text
    assert caught.value.__suppress_context__  # no traceback shows the client's own error
    assert len(stub.requests) == (1 if statuses[0] < 500 else api_chats.RETRIES + 1)


CONFIG = replace(MUTATIONS, solver="anthropic", model="some-model", runs=2, turns=2)


@pytest.mark.parametrize("solver", ["anthropic", "openai-compatible"])
def test_a_calibration_names_the_model_and_holds_no_key(solver, stub, tmp_path, monkeypatch, caplog):
    pytest.importorskip(solver.split("-")[0], reason="needs the solver's client package")
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(api_chats.ANTHROPIC_KEY, KEY)
    monkeypatch.setenv(api_chats.OPENAI_KEY, KEY)
    address = stub.url.replace("http://", "http://user:password@") + ("/v1" if "openai" in solver else "")
    stub.statuses = [429]
    files = CalibrationFiles.in_folder(tmp_path, tmp_path / "checkpoints")
    done = run_calibration(replace(CONFIG, solver=solver, base_url=address), files)
    assert done.rate.passed == 2
    results = read_json(files.results)
    assert (results["solver"]["name"], results["solver"]["model"]) == (solver, "some-model")
    assert results["solver"]["server"] == f"127.0.0.1:{stub.server_port}"
    assert "`some-model`" in Path(files.summary).read_text()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (KEY, "password"):
        assert secret.encode() not in written and secret not in caplog.text


def test_a_failing_api_keeps_the_finished_attempts(stub, tmp_path, monkeypatch):
    pytest.importorskip("anthropic", reason="needs the package anthropic")
    monkeypatch.setenv(api_chats.ANTHROPIC_KEY, KEY)
    files = CalibrationFiles.in_folder(tmp_path, tmp_path / "checkpoints")
    stub.statuses = [200, 401]
    config = replace(CONFIG, base_url=stub.url)
    with pytest.raises(UserError, match="cannot be asked"):
        run_calibration(config, files)
    assert len(list((tmp_path / "checkpoints").rglob("attempt*.json"))) == 1
    run_calibration(config, files)
    assert len(stub.requests) == 3


def test_without_a_key_the_error_names_the_variable(monkeypatch):
    monkeypatch.delenv(api_chats.ANTHROPIC_KEY, raising=False)
    monkeypatch.delenv(api_chats.OPENAI_KEY, raising=False)
    monkeypatch.setattr(api_chats, "_client_package", lambda name: None)
    with pytest.raises(UserError, match="ANTHROPIC_API_KEY"):
        AnthropicChat("m", 1, 1.0)
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        OpenAIChat("m", 1, 1.0, 0)


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "anthropic", None)
    with pytest.raises(UserError, match="pip install anthropic"):
        AnthropicChat("m", 1, 1.0)
