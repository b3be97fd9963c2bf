"""What the text of tests needs from the program: found in its symbol tables, without running it."""

import builtins
import symtable
import sys
from collections.abc import Iterator

# Modules that do nothing but compute, whatever they are called with.
_PURE = {"bisect", "cmath", "collections", "copy", "datetime", "decimal", "fractions", "functools", "heapq"}
_PURE |= {"itertools", "json", "math", "operator", "posixpath", "random", "re", "statistics", "string"}
_PURE |= {"typing"}
_NUMPY = {"np", "numpy"}


def free_names(tests: str) -> set[str]:
    """Return the global names that tests use but neither define nor import, built-in ones left out.

    Raises SyntaxError if the text is no Python.
    """
    top = symtable.symtable(tests, "<tests>", "exec")
    bound = {
        symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()
    }
    used = {
        symbol.get_name() for table in _tables(top) for symbol in table.get_symbols() if symbol.is_global()
    }
    used |= {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    declared = {
        symbol.get_name()
        for table in _tables(top)
        for symbol in table.get_symbols()
        if symbol.is_declared_global() and symbol.is_assigned()
    }
    return used - bound - declared - set(vars(builtins))


def own_module(name: str, claimed: str) -> str | None:
    """Return which module the tests import themselves for a free name that the program binds to a module.

    `claimed` is the program's word for it: empty if it binds the name to another object, which cannot take
    the place of a module that is always called so. The module is never the program's own, which may have been
    patched; under a name of the program's choice it is one that only computes. None if there is none.
    """
    if name in _NUMPY:
        return "numpy"
    if name in (sys.stdlib_module_names if claimed else _PURE):
        return name
    return claimed if claimed in _PURE else None


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)
