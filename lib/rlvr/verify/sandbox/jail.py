"""The ladder of jails, and how a worker slot is started in each."""

import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rlvr.verify.sandbox.helper import WORKER_MODULES, Helper, StartError
from rlvr.verify.sandbox.limits import Limits
from rlvr.verify.sandbox.uids import HeldUid

RungName = Literal["bubblewrap", "namespaces", "landlock", "uid", "rlimits"]
LADDER: tuple[RungName, ...] = ("bubblewrap", "namespaces", "landlock", "uid", "rlimits")
STRONG: tuple[RungName, ...] = LADDER[:3]

_SYSTEM: tuple[str, ...] = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib")
_SYSTEM += ("/etc/ld.so.cache", "/usr/share/zoneinfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_JAIL_FOLDERS = ("/tmp", "/var/tmp")


@dataclass(frozen=True)
class Jail:
    """A rung, and whether programs get a user of their own in it."""

    rung: RungName
    own_uid: bool


def jails(rung: RungName) -> tuple[Jail, ...]:
    """Return the forms of a rung to be tried here, strongest first."""
    root = os.geteuid() == 0 and sys.platform == "linux"
    own = (Jail(rung, True),) if root and rung != "rlimits" else ()
    return own if rung == "uid" else (*own, Jail(rung, False))


def executable() -> str:
    """Return the interpreter itself, not the virtual environment's link to it."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def search_path() -> list[str]:
    """Return the folders that programs import from: the standard library and installed packages."""
    standard = [sysconfig.get_path("stdlib"), sysconfig.get_config_var("DESTSHARED")]
    installed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    return [path for path in dict.fromkeys([*standard, *installed]) if path and os.path.isdir(path)]


def readable_paths() -> list[str]:
    """Return what programs may read: Python, its packages and the system's libraries."""
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    wanted = [os.path.dirname(path) for path in search_path()[:1]] + search_path() + list(_SYSTEM)
    paths = [path for path in [*wanted, *libraries, executable()] if path.startswith("/")]
    found = [path for path in dict.fromkeys(paths) if os.path.exists(path)]
    return [path for path in found if not any(_beneath(path, other) for other in found)]


def _jail_folder(readable: Sequence[str]) -> str:
    """Return where a mounted jail has its temporary folder: it hides nothing that programs may read."""
    for folder in _JAIL_FOLDERS:
        if not any(Path(path).is_relative_to(folder) for path in readable):
            return folder
    raise StartError(f"Python and its packages take up all of {', '.join(_JAIL_FOLDERS)}")


def _beneath(path: str, folder: str) -> bool:
    return path != folder and Path(path).is_relative_to(folder)


class Slot:
    """One warm fork server in a jail, with a user (where possible) and a temporary folder of its own."""

    def __init__(self, jail: Jail, limits: Limits, preload: Sequence[str] = ()) -> None:
        self._outside = ""
        self._uid: HeldUid | None = None
        try:
            self._uid = HeldUid() if jail.own_uid else None
            setup = self._setup(jail, limits, preload)
            self.helper = Helper(_prefix(jail, setup), executable(), WORKER_MODULES, setup)
        except (StartError, OSError) as error:
            self._release()
            raise StartError(str(error)) from error
        except BaseException:
            self._release()
            raise
        self.layers = tuple(self.helper.greeting[1])

    def _setup(self, jail: Jail, limits: Limits, preload: Sequence[str]) -> dict[str, Any]:
        mounted = jail.rung in ("bubblewrap", "namespaces")
        readable = readable_paths()
        if mounted:
            folder = _jail_folder(readable)
        else:
            self._outside = tempfile.mkdtemp(prefix="rlvr-sandbox-")
            os.chmod(self._outside, 0o711)
            folder = os.path.join(self._outside, "folder")
            os.mkdir(folder, mode=0o700)
        return {
            "folder": folder,
            "folder_mb": limits.folder_mb,
            "outside": self._outside,
            "uid": self._uid.uid if self._uid else 0,
            "enter_namespaces": jail.rung == "namespaces",
            "own_user_namespace": mounted and not jail.own_uid,
            "own_processes": mounted,
            "landlock": jail.rung in STRONG,
            # Root's programs without a user of their own would own the devices.
            "refuse_metadata": not mounted or (os.geteuid() == 0 and not jail.own_uid),
            "readable": readable,
            "devices": [path for path in _DEVICES if os.path.exists(path)],
            "search_path": search_path(),
            "preload": list(preload),
        }

    def _release(self) -> None:
        if self._uid:
            self._uid.release()
        if self._outside:
            shutil.rmtree(self._outside, ignore_errors=True)

    def alive(self) -> bool:
        """Whether the server still runs."""
        return self.helper.alive()

    def stop(self) -> None:
        """End the server and all that it started; remove its folder."""
        self.helper.stop()
        self._release()


def _prefix(jail: Jail, setup: dict[str, Any]) -> list[str]:
    """Return the command that builds the jail around the server; only bubblewrap needs one."""
    if jail.rung != "bubblewrap":
        return []
    program = shutil.which("bwrap")
    if program is None:
        raise StartError("bubblewrap (bwrap) is not installed")
    command = [program, "--as-pid-1", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    command += ["--unshare-cgroup-try"]
    if jail.own_uid:
        for capability in ("SETUID", "SETGID", "KILL", "DAC_OVERRIDE", "FOWNER", "CHOWN", "SETPCAP"):
            command += ["--cap-add", f"CAP_{capability}"]
    else:
        command += ["--unshare-user"]
    seen = [*setup["readable"], *setup["devices"]]
    parents = {str(parent) for path in seen for parent in Path(path).parents} - {"/"}
    for path in sorted(parents):  # else they get the modes that they have outside, where others may not pass
        command += ["--perms", "0755", "--dir", path]
    for path in setup["readable"]:
        command += ["--ro-bind", path, path]
    for path in setup["devices"]:
        command += ["--dev-bind", path, path]
    command += ["--size", str(setup["folder_mb"] << 20), "--tmpfs", setup["folder"]]
    return [*command, "--remount-ro", "/", "--chdir", setup["folder"], "--"]
