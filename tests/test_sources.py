"""The digest covers the code that a script reaches, and nothing else."""

import ast
from pathlib import Path

import pytest

from rlvr import sources

PACKAGE = Path(sources.__file__).parent
ADAPTORS = sorted((PACKAGE.parents[1] / "workflow_scripts").glob("*.py"))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package called rlvr: a script reaches `a`, `a` reaches `sub.b`, nothing reaches `c`."""
    root = tmp_path / "rlvr"
    files = {
        "__init__.py": "",
        "a.py": "import numpy\n\n\ndef f():\n    from rlvr.sub.b import g\n    return g\n",
        "c.py": "X = 1\n",
        "sub/__init__.py": "from rlvr.c import X\n",
        "sub/b.py": "from rlvr.sub import d\nDATA_FILES = ('table.txt',)\ng = 1\n",
        "sub/d.py": "Y = 2\n",
        "sub/table.txt": "data",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (tmp_path / "script.py").write_text("from rlvr.a import f\nf()\n")
    monkeypatch.setattr(sources, "PACKAGE", root)
    return root


def digest(package: Path) -> str:
    for cached in (sources._digest, sources._facts, sources._reached):
        cached.cache_clear()
    return sources.code_digest(package.parent / "script.py")


def test_imports_are_followed_into_functions_and_through_modules_of_a_package(package):
    reached = {path.name for path in sources.reached_files(package.parent / "script.py")}
    assert reached == {"script.py", "a.py", "b.py", "d.py", "table.txt"}


@pytest.mark.parametrize("edited", ["a.py", "sub/b.py", "sub/d.py", "sub/table.txt", "../script.py"])
def test_an_edit_of_what_is_reached_changes_the_digest(package, edited):
    before = digest(package)
    text = (package / edited).read_text()
    (package / edited).write_text(text + "\nZ = 3\n")
    assert digest(package) != before
    (package / edited).write_text(text)
    assert digest(package) == before


@pytest.mark.parametrize("edited", ["c.py", "__init__.py", "sub/__init__.py"])
def test_an_edit_of_what_is_not_reached_changes_nothing(package, edited):
    before = digest(package)
    (package / edited).write_text("Z = 3\n")
    assert digest(package) == before


def test_comments_and_layout_do_not_count(package):
    before = digest(package)
    text = (package / "a.py").read_text()
    (package / "a.py").write_text("# a remark\n" + text.replace("    return g", "\n    return g  # here"))
    assert digest(package) == before


def test_a_module_that_moves_changes_the_digest(package):
    before = digest(package)
    (package / "sub/d.py").rename(package / "sub/e.py")
    (package / "sub/b.py").write_text("from rlvr.sub import e\nDATA_FILES = ('table.txt',)\ng = 1\n")
    assert digest(package) != before


def test_kept_facts_give_the_same_digest_without_a_syntax_tree(package, tmp_path, monkeypatch):
    kept = tmp_path / "kept" / "facts.json"
    monkeypatch.setattr(sources, "_known", {})
    monkeypatch.setattr(sources, "_seen", {})
    before = digest(package)
    sources.save_facts(kept)
    written = kept.stat().st_mtime_ns
    sources.save_facts(kept)
    assert kept.stat().st_mtime_ns == written
    sources._known.clear()
    sources.load_facts(kept)
    with monkeypatch.context() as patch:
        patch.delattr(ast, "parse")
        assert digest(package) == before
    (package / "a.py").write_text("from rlvr.c import X\n")  # what a file was is kept, not what it is
    assert digest(package) != before
    assert {path.name for path in sources.reached_files(package.parent / "script.py")} >= {"c.py"}


@pytest.mark.parametrize("content", [None, "", "[1]", '{"a": 1}', '{"a": ["b"]}'])
def test_facts_that_are_no_use_are_made_anew(content, package, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_known", {})
    before = digest(package)
    kept = tmp_path / "facts.json"
    if content is not None:
        kept.write_text(content)
    sources._known.clear()
    sources.load_facts(kept)
    assert not sources._known
    assert digest(package) == before


def test_a_damaged_file_of_facts_is_replaced(package, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_known", {})
    monkeypatch.setattr(sources, "_seen", {})
    kept = tmp_path / "facts.json"
    kept.write_bytes(b"\xff\xfe")
    sources.load_facts(kept)
    digest(package)
    sources.save_facts(kept)
    sources._known.clear()
    sources.load_facts(kept)
    assert sources._known == sources._seen != {}


def test_a_relative_import_is_refused(package):
    (package / "a.py").write_text("from .c import X\n")
    with pytest.raises(ValueError, match="relative import"):
        digest(package)


def rlvr_imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rlvr":
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names if alias.name.split(".")[0] == "rlvr")


def module_exists(name: str) -> bool:
    return PACKAGE.joinpath(*name.split(".")[1:]).with_suffix(".py").is_file()


CODE = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"] + ADAPTORS


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(PACKAGE.parents[1])))
def test_the_package_imports_from_defining_modules(path):
    """What is imported through an `__init__` would be missing from the digests."""
    for module, name in rlvr_imports(path):
        assert module_exists(module) or (name and module_exists(f"{module}.{name}")), (module, name)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda p: p.parent.name)
def test_init_files_hold_re_exports_only(path):
    for node in ast.parse(path.read_text()).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        exported = isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
        assert docstring or exported or isinstance(node, ast.Import | ast.ImportFrom), ast.unparse(node)


@pytest.mark.parametrize(
    "name", ["prepare_evaluation_task", "analyse_precision_study", "build_precision_report"]
)
def test_light_adaptors_reach_no_training_code(name):
    script = next(path for path in ADAPTORS if path.stem == name)
    reached = {path.relative_to(PACKAGE).parts[0] for path in sources.reached_files(script) if path != script}
    assert not reached & {"training", "models", "rollout", "optim.py", "objectives.py"}


def test_training_does_not_depend_on_evaluation_analysis_or_config_checks():
    script = next(path for path in ADAPTORS if path.stem == "train_policy")
    names = {path.relative_to(PACKAGE).as_posix() for path in sources.reached_files(script) if path != script}
    assert {"optim.py", "objectives.py", "training/run.py"} <= names
    assert not [
        name for name in names if name.startswith(("evaluation/", "analysis/", "figures/", "statistics/"))
    ]
    assert not names & {
        "config/load.py",
        "config/schema.py",
        "report.py",
        "models/tiny.py",
        "training/sft.py",
    }
