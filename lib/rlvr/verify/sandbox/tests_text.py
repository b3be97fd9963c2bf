"""What the text of tests needs from the program: found in its symbol tables, without running it."""

import builtins
import symtable
from collections.abc import Iterator


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


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)
