"""A hub on this machine: what a download asks of huggingface.co, answered from memory."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from hub_cache import COMMIT

Repositories = Mapping[str, Mapping[str, bytes]]


def _handler(repositories: Repositories, asked: list[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self._answer(with_body=False)

        def do_GET(self):
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            asked.append(path)
            content, headers = self._content(path)
            self.send_response(200 if content is not None else 404)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if with_body and content:
                self.wfile.write(content)

        def _content(self, path: str) -> tuple[bytes | None, dict[str, str]]:
            for name, files in repositories.items():
                if path == f"/api/{name}/tree/{COMMIT}":
                    entries = [
                        {"type": "file", "path": file, "size": len(content), "oid": _oid(content)}
                        for file, content in files.items()
                    ]
                    return json.dumps(entries).encode(), {"Content-Type": "application/json"}
                prefix = f"/{name.removeprefix('models/')}/resolve/{COMMIT}/"
                file = path.removeprefix(prefix)
                if path.startswith(prefix) and file in files:
                    return files[file], {"X-Repo-Commit": COMMIT, "ETag": f'"{_oid(files[file])}"'}
            return None, {"X-Error-Code": "RepoNotFound"}

        def log_message(self, *_):
            pass

    return Handler


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@contextmanager
def serve(repositories: Repositories) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub that has `repositories` (`models/owner/name`, `datasets/owner/name`) at COMMIT.

    The second value lists the paths that it has been asked for.
    """
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(repositories, asked))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
