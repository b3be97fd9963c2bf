"""A digest of the code that a script really reaches, so that a fix reruns what depends on it, no more.

Reached are the script and every `rlvr` module that it imports, directly or not, at module level or in a
function. Only names are followed, so a module must be imported by its full name from where it is defined.
`__init__` files are left out: they hold re-exports only (a test checks both), and following them would tie
every rule to the whole package. A module that reads a file of the package names it in a constant `DATA_FILES`
(a tuple of file names beside the module); these are part of the digest.
"""

import ast
import hashlib
import json
import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rlvr.files import atomic_path

logger = logging.getLogger(__name__)

PACKAGE = Path(__file__).parent


def code_digest(script: str | Path) -> str:
    """Twelve hexadecimal digits over the syntax trees that `script` reaches and the data files they name.

    Comments and layout do not count, docstrings do. Computed once per process and script.
    """
    return _digest(Path(script).resolve())


@cache
def _digest(script: Path) -> str:
    digest = hashlib.sha256()
    for path in reached_files(script):
        name = path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else path.name
        digest.update(f"{name} {_content_hash(path)}\n".encode())
    return digest.hexdigest()[:12]


def _content_hash(path: Path) -> str:
    return _facts(path).content if path.suffix == ".py" else hashlib.sha256(path.read_bytes()).hexdigest()


def reached_files(script: Path) -> list[Path]:
    """`script`, the package's modules that it reaches, and the data files that these name, sorted."""
    found: set[Path] = set()
    queue = [script.resolve()]
    while queue:
        path = queue.pop()
        if path not in found:
            found.add(path)
            if path.suffix == ".py":
                queue += _reached(path)
    return sorted(found)


@dataclass(frozen=True)
class _Facts:
    """A module's hash, the names that it imports, and the data files beside it that it names."""

    content: str
    imports: tuple[str, ...]
    data_files: tuple[str, ...]


# By Python's version and the hash of a file's bytes. Reading a syntax tree takes long, so a workflow keeps
# these between its starts.
_known: dict[str, _Facts] = {}
_seen: dict[str, _Facts] = {}  # those of them that this process has asked for


def load_facts(path: str | Path) -> None:
    """Take in what `save_facts` has kept; nothing if there is no such file, or one that is no use."""
    try:
        kept = json.loads(Path(path).read_text(encoding="utf-8"))
        _known.update({key: _Facts(one[0], tuple(one[1]), tuple(one[2])) for key, one in kept.items()})
    except (OSError, ValueError, AttributeError, LookupError, TypeError) as error:
        logger.debug("no facts of the code are kept in %s (%s); they are made anew", path, error)


def save_facts(path: str | Path) -> None:
    """Keep the facts of all files that this process has looked at, unless the file holds just these."""
    content = json.dumps({key: list(vars(one).values()) for key, one in sorted(_seen.items())}).encode()
    try:
        if Path(path).read_bytes() == content:
            return
    except FileNotFoundError:
        pass
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


@cache
def _facts(path: Path) -> _Facts:
    source = path.read_bytes()
    # The form in which a syntax tree is hashed is that of a version of Python.
    key = f"{sys.version_info[0]}.{sys.version_info[1]} {hashlib.sha256(source).hexdigest()}"
    if key not in _known:
        tree = ast.parse(source, filename=str(path))
        content = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
        _known[key] = _Facts(content, tuple(_imports(tree)), tuple(_named_data_files(tree)))
    _seen[key] = _known[key]
    return _known[key]


# Cached by file, since the scripts of a workflow reach mostly the same ones.
@cache
def _reached(path: Path) -> tuple[Path, ...]:
    """The modules and data files that a module reaches directly."""
    facts = _facts(path)
    modules = (module for name in facts.imports if (module := _module_file(name)))
    return (*modules, *(path.parent / name for name in facts.data_files))


def _imports(tree: ast.Module) -> list[str]:
    """Names of the package's modules that a module may import, each once."""
    names = (name for statement in _statements(tree.body) for name in _imported_names(statement))
    return list(dict.fromkeys(name for name in names if name.startswith(f"{PACKAGE.name}.")))


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All statements, with those inside of others; handlers and cases that hold some, but no expressions."""
    for node in body:
        yield node
        for part in ("body", "orelse", "handlers", "finalbody", "cases"):
            yield from _statements(getattr(node, part, ()))


def _imported_names(node: ast.AST) -> Iterator[str]:
    """Full names that an import statement may load; `from a.b import c` may mean module a.b or a.b.c."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        if node.level or node.module is None:
            raise ValueError(f"line {node.lineno}: relative import; the package imports by full name")
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module_file(name: str) -> Path | None:
    package, *parts = name.split(".")
    path = PACKAGE.joinpath(*parts).with_suffix(".py")
    return path if package == PACKAGE.name and parts and path.is_file() else None


def _named_data_files(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "DATA_FILES" for target in node.targets
        ):
            yield from ast.literal_eval(node.value)
