"""A digest of the code that a script really reaches, so that a fix reruns what depends on it, no more.

Reached are the script and every `rlvr` module that it imports, directly or not, at module level or in a
function. Only names are followed, so a module must be imported by its full name from where it is defined.
`__init__` files are left out: they hold re-exports only (a test checks both), and following them would tie
every rule to the whole package. A module that reads a file of the package names it in a constant `DATA_FILES`
(a tuple of file names beside the module); these are part of the digest.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

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
                queue += _facts(path).reached
    return sorted(found)


@dataclass(frozen=True)
class _Facts:
    """A module's hash, and the modules and data files that it reaches directly."""

    content: str
    reached: tuple[Path, ...]


# Cached by file, since the scripts of a workflow reach mostly the same ones. Syntax trees are not kept: the
# garbage collector would go over their many nodes again and again while Snakemake builds a large DAG.
@cache
def _facts(path: Path) -> _Facts:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    reached = (*_imported_modules(tree), *_named_data_files(tree, path.parent))
    return _Facts(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), reached)


def _imported_modules(tree: ast.Module) -> Iterator[Path]:
    for statement in _statements(tree.body):
        for name in _imported_names(statement):
            module = _module_file(name)
            if module:
                yield module


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
        if node.level:
            raise ValueError(f"line {node.lineno}: relative import; the package imports by full name")
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module_file(name: str) -> Path | None:
    package, *parts = name.split(".")
    path = PACKAGE.joinpath(*parts).with_suffix(".py")
    return path if package == PACKAGE.name and parts and path.is_file() else None


def _named_data_files(tree: ast.Module, folder: Path) -> Iterator[Path]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "DATA_FILES" for target in node.targets
        ):
            yield from (folder / name for name in ast.literal_eval(node.value))
