"""Things on the host that programs are told to reach, and what became of them."""

import ctypes
import gc
import gzip
import os
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import psutil

import rlvr

PR_SET_CHILD_SUBREAPER = 36
CANARY = "canary: unchanged"
# Where programs try to leave files, beside the folders of Python and of this process.
_PLACES = [
    "/",
    "/dev",
    "/dev/mqueue",
    "/dev/shm",
    "/etc",
    "/etc/cron.d",
    "/home",
    "/opt",
    "/root",
    "/run",
    "/run/lock",
    "/srv",
    "/tmp",
    "/usr/bin",
    "/usr/lib",
    "/usr/local/bin",
    "/var/spool/cron",
    "/var/tmp",
]

# A process of the host: writes down that SIGCONT reached it.
_TARGET = """
import signal, sys
def reached(*args):
    with open(sys.argv[1], "a") as file: file.write("SIGCONT ")
signal.signal(signal.SIGCONT, reached)
print("ready", flush=True)
sys.stdin.read()
"""


def live_descendants() -> dict[int, str]:
    """Command lines by pid of the processes below this one, orphans included (see `HostWatch`)."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = " ".join(process.cmdline()) or process.name()
        except psutil.NoSuchProcess:
            continue
    return found


def _listening_ports() -> set[int]:
    return {c.laddr.port for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN}


class HostWatch:
    """Context manager: canaries, secrets, a process, sockets and a folder that are to stay as they are.

    This process becomes the reaper of orphans, so that a daemon of a hostile program is still below it.
    """

    def __init__(self, base_folders: list[Path]):
        self.mark = "rlvr-canary-" + secrets.token_hex(6)
        self.token = f"{self.mark}-{secrets.token_hex(16)}"
        self._folders = [
            Path(tempfile.mkdtemp(prefix=self.mark + "-", dir=folder)) for folder in base_folders
        ]
        self._own = Path(tempfile.mkdtemp(prefix=f"watch-{self.mark}-"))  # no program is told of it
        self._own.chmod(0o755)
        self.temp = self._own / "temp"
        self._reached: set[str] = set()
        self._sockets: dict[str, socket.socket] = {}

    def __enter__(self) -> "HostWatch":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.temp.mkdir()
        self._tempdir_before, tempfile.tempdir = tempfile.tempdir, str(self.temp)
        self.set_canaries()
        signals = self._own / "signals"
        signals.touch()
        command = [sys.executable, "-c", _TARGET, str(signals)]
        self._target = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._target.stdout.readline()
        self._signals = signals
        self._listen()
        self._hostname = socket.gethostname()
        self.settle()
        self._descendants = set(live_descendants())
        self._memory = psutil.Process().memory_info().rss
        self._shared = psutil.virtual_memory().shared
        self._ports = _listening_ports()
        return self

    def __exit__(self, *exc_info) -> None:
        for opened in self._sockets.values():
            opened.close()
        self._target.kill()
        self._target.communicate()
        tempfile.tempdir = self._tempdir_before
        for path in self._marked_files():
            path.unlink(missing_ok=True)
        for folder in [*self._folders, self._own]:
            shutil.rmtree(folder, ignore_errors=True)
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)

    def set_canaries(self) -> None:
        """Write canaries that any user may change and secrets that any user may read."""
        for folder in self._folders:
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)
            (folder / "canary").write_text(CANARY)
            (folder / "canary").chmod(0o666)
            (folder / "answers.txt").write_text(self.token)
            (folder / "answers.txt").chmod(0o644)
            with gzip.open(folder / "humaneval.jsonl.gz", "wt") as file:
                file.write('{"test": "' + self.token + '"}\n')
            os.utime(folder / "canary", (10**9, 10**9))
        self._reached.clear()

    def fill(self, text: str) -> str:
        """`text` with each `@NAME@` replaced by what it stands for."""
        canaries = [str(folder / "canary") for folder in self._folders]
        secret_files = [
            str(folder / name) for folder in self._folders for name in ("answers.txt", "humaneval.jsonl.gz")
        ]
        values = {
            "MARK": self.mark,
            "TOKEN": self.token,
            "CANARY": canaries[0],
            "CANARIES": repr(canaries),
            "FOLDERS": repr([str(folder) for folder in self._folders]),
            "SECRETS": repr(secret_files),
            "PID": str(self._target.pid),
            "RUNNER": str(os.getpid()),
            "HOME": str(Path.home()),
            "CWD": str(Path.cwd()),
            "PACKAGE": str(Path(rlvr.__path__[0])),
            "PORT": str(self._port),
            "UNIX": str(self._folders[0] / "socket"),
            "ABSTRACT": self.mark,
        }
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        return text

    def harm(self) -> list[str]:
        """What was changed or reached so far, in words."""
        found = [f"the {name} socket was reached" for name in self._connections()]
        for folder in self._folders:
            canary = folder / "canary"
            if not canary.exists() or canary.read_text() != CANARY:
                found.append(f"{canary} was changed: {canary.read_text() if canary.exists() else 'deleted'}")
            elif (
                canary.stat().st_mtime != 10**9
                or canary.stat().st_mode & 0o7777 != 0o666
                or os.listxattr(canary)
            ):
                found.append(f"the times, mode or attributes of {canary} were changed")
            for name in ("unpickled", "evaluated"):
                if (folder / name).exists():
                    found.append(f"{folder / name}: code of a program ran outside")
        found += [f"{path} was written" for path in self._marked_files()]
        if self._target.poll() is not None:
            found.append("a process of the host was ended")
        elif psutil.Process(self._target.pid).status() == psutil.STATUS_STOPPED:
            found.append("a process of the host was stopped")
        if self._signals.read_text():
            found.append("a process of the host received a signal")
        if socket.gethostname() != self._hostname:
            found.append("the host name was changed")
        return found

    def left_over(self, memory_mb: int = 200, machine_mb: int = 1000) -> list[str]:
        """What is left after the sandbox was closed: processes, files, listening sockets, memory."""
        self.settle()
        left = [
            f"process {pid}: {line}"
            for pid, line in live_descendants().items()
            if pid not in self._descendants
        ]
        left += [f"file {path}" for path in sorted(self.temp.iterdir())]
        tried = {self._port + 1, self._port + 2}  # by programs; other ports may be those of others
        left += [f"port {port}" for port in sorted(tried & _listening_ports() - self._ports)]
        gc.collect()
        if (grown := psutil.Process().memory_info().rss - self._memory) > memory_mb * 2**20:
            left.append(f"{grown / 2**20:.0f} MiB of memory in this process")
        if (kept := psutil.virtual_memory().shared - self._shared) > machine_mb * 2**20:
            left.append(f"{kept / 2**20:.0f} MiB of shared memory of the machine")
        return left

    @staticmethod
    def settle(seconds: float = 3.0) -> None:
        """Wait until the processes below this one are the same for a while, at most `seconds`."""
        before, same, end = set(live_descendants()), 0, time.monotonic() + seconds
        while same < 3 and time.monotonic() < end:
            time.sleep(0.05)
            now = set(live_descendants())
            same, before = (same + 1 if now == before else 0), now

    def _listen(self) -> None:
        """Open sockets and accept nothing: who connects waits in the queue, where `_connections` finds it."""
        stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
        path = str(self._folders[0] / "socket")
        tcp = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._port = tcp.getsockname()[1]
        self._sockets["tcp"] = tcp
        for name, family, kind, address in (
            ("udp", socket.AF_INET, datagram, ("127.0.0.1", self._port)),
            ("unix", socket.AF_UNIX, stream, path),
            ("abstract unix", socket.AF_UNIX, stream, "\0" + self.mark),
            ("abstract unix datagram", socket.AF_UNIX, datagram, "\0" + self.mark + "-datagram"),
        ):
            opened = self._sockets[name] = socket.socket(family, kind)
            opened.bind(address)
            if kind == stream:
                opened.listen(64)
        os.chmod(path, 0o777)
        for opened in self._sockets.values():
            opened.setblocking(False)

    def _connections(self) -> list[str]:
        """Names of the sockets to which something came since the last look."""
        for name, opened in self._sockets.items():
            try:
                opened.recv(100) if opened.type == socket.SOCK_DGRAM else opened.accept()[0].close()
            except BlockingIOError:
                continue
            self._reached.add(name)
        return sorted(self._reached)

    def _marked_files(self) -> list[Path]:
        """Files named after this watch in the places that the programs try, its own folders aside."""
        folders = [*_PLACES, *sys.path, sys.prefix, rlvr.__path__[0], Path.home(), Path.cwd(), self.temp]
        base = sysconfig.get_paths(vars={"base": sys.base_prefix, "platbase": sys.base_prefix})
        folders += [*sysconfig.get_paths().values(), *base.values(), *self._folders]
        found = set()
        for folder in set(map(str, folders)):
            found |= {path for path in Path(folder or ".").glob(self.mark + "*") if path not in self._folders}
        return sorted(found)
