"""Dependencies point one way, commands import no heavy library, and files and functions stay short."""

import ast
import functools
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline import dag
from pipeline.engine.component import Component

ROOT = Path(__file__).parents[1]
HEAVY = (
    "tensorflow",
    "apache_beam",
    "keras",
    "tensorflow_model_analysis",
    "tensorflow_transform",
    "numpy",
    "pyarrow",
    "matplotlib",
)
# From the bottom up. A part may import those of lower layers, and those of its own layer if that makes no cycle.
LAYERS = (
    {"schemas"},
    {"pipeline.config", "pipeline.engine", "pipeline.lineage", "pipeline.notify", "pipeline.serving", "pipeline.store"},
    {"components"},
    {"pipeline.dag"},
    {"pipeline.report", "pipeline.runs", "pipeline.schedule"},
    {"gateline"},
    {"pipeline.commands"},
    {"pipeline.cli"},
    {"pipeline.__main__"},
)
OPENS_NO_TEXT = ("os", "tarfile", "Image", "PIL", "Lineage", "webbrowser", "opener", "build_opener")
ALLOWED_OF_PIPELINE = ("pipeline.engine.component", "pipeline.serving")  # what a stage may import from the pipeline


def sources(package: str) -> list[Path]:
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths
    return paths


OURS = [p for package in ("schemas", "components", "pipeline") for p in sources(package)] + sorted(
    ROOT.glob("gateline.py")
)
STAGES = [path for path in sources("components") if path.parent.name == "components" and path.stem != "__init__"]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """The modules that a file imports, anywhere in the file and also for type checking only."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                place = ROOT / inner.replace(".", "/")
                yield inner if place.with_suffix(".py").exists() or place.is_dir() else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def part(name: str) -> str:
    """The part of the architecture that a module belongs to; empty for third-party modules."""
    top, _, rest = name.partition(".")
    if top == "pipeline" and rest:
        return f"pipeline.{rest.split('.')[0]}"
    return top if top in ("schemas", "components", "gateline", "pipeline") else ""


def layer(name: str) -> int:
    return next(i for i, parts in enumerate(LAYERS) if name in parts)


def offenders(found: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """The files with something that they must not have."""
    return {path: names for path, names in found.items() if names}


def test_every_file_belongs_to_a_layer_and_imports_no_higher_one() -> None:
    above = {
        relative(path): sorted(
            name
            for name in imports(path)
            if part(name) not in ("", "pipeline") and layer(part(name)) > layer(part(module(path)))
        )
        for path in OURS
        if module(path) != "pipeline"
    }
    assert offenders(above) == {}


def test_parts_import_without_a_cycle() -> None:
    edges: dict[str, set[str]] = {}
    for path in OURS:
        own = part(module(path))
        edges.setdefault(own, set()).update(part(name) for name in imports(path) if part(name) not in ("", own))
    assert _cycle(edges) == []


def test_modules_import_without_a_cycle() -> None:
    names = {module(path) for path in OURS}
    assert _cycle({module(path): set(imports(path)) & names - {module(path)} for path in OURS}) == []


def _cycle(edges: dict[str, set[str]]) -> list[str]:
    """A cycle, or an empty list."""
    visited: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in visited:
            return []
        for next_node in sorted(edges.get(node, ())):
            if cycle := visit(next_node, [*path, node]):
                return cycle
        visited.add(node)
        return []

    return next(filter(None, (visit(node, []) for node in sorted(edges))), [])


def test_a_component_imports_only_the_allowed_parts_of_the_pipeline() -> None:
    forbidden = {
        relative(path): sorted(
            name
            for name in imports(path)
            if part(name).startswith("pipeline")
            and name not in ALLOWED_OF_PIPELINE
            and not name.startswith("pipeline.serving.")
        )
        for path in sources("components")
    }
    assert offenders(forbidden) == {}


def test_stages_are_imported_by_no_other_stage_and_by_no_helper() -> None:
    stages = {module(stage) for stage in STAGES}
    assert offenders({relative(path): sorted(imports(path) & stages) for path in sources("components")}) == {}


def test_the_top_of_the_pipeline_fits_on_one_screen() -> None:
    top = [path for path in (ROOT / "pipeline").iterdir() if not path.name.startswith("_")]
    assert len(top) <= 20


def test_every_package_has_a_one_line_docstring() -> None:
    for path in OURS:
        if path.name == "__init__.py":
            first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
            assert 10 < len(first) <= 120, path


def test_commands_and_stages_import_no_heavy_library() -> None:
    modules = ["pipeline.cli", "pipeline.runs.line_run", "pipeline.dag", *map(module, STAGES)]
    program = f"import sys, {', '.join(modules)}; print([name for name in {HEAVY} if name in sys.modules])"
    visited = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (visited.stdout, visited.stderr) == ("[]\n", "")


def test_planning_imports_no_heavy_library(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\nfrom pipeline.config import load\nfrom pipeline.runs import line_run\n"
        "root = pathlib.Path(sys.argv[1])\nsteps = line_run.plan(load(profile='mnist'), line_run.LineOptions(root))\n"
        f"print(len(steps) > 8, [name for name in {HEAVY} if name in sys.modules])"
    )
    visited = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (visited.stdout, visited.stderr) == ("True []\n", "")


def test_the_top_level_folders_are_the_expected_ones() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    folders = {line.split("/")[0] for line in tracked.splitlines() if "/" in line}
    required = {"pipeline", "components", "schemas", "tests", "deploy"}
    assert required <= {folder for folder in folders if not folder.startswith(".")} <= required | {"docs"}


def test_every_stage_file_has_a_component_of_its_own_name() -> None:
    for path in STAGES:
        contents = vars(importlib.import_module(module(path)))
        assert [name for name, value in contents.items() if isinstance(value, Component)] == [path.stem], path
        stage = contents[path.stem]
        assert (stage.name, stage.function.__module__) == (path.stem, module(path))
        assert len(stage.function.__doc__ or "") > 20, path


def test_only_the_line_and_a_stage_itself_name_a_stage() -> None:
    """A stage's name is looked up by the type of its artifact, so that a stage can be renamed in one file."""
    names = "|".join(name for name, each in dag.components().items() if each.kind != "resolver")
    # A part of a path, a log prefix, and the value of an option in a message; in the pipeline, also the whole text.
    # Elsewhere, that may be the name of a split.
    part = re.compile(rf"/({names})(/|$)|^({names})(/|: )|--[a-z-]+[ =]({names})(?![\w-]|\.\w)")
    whole = re.compile(rf"{part.pattern}|^({names})$")
    assert whole.search("train") and part.search("artifacts/train/3f9a") and part.search("Use --force train.")
    assert not whole.search("trained") and not part.search("--set train.epochs=3")
    allowed = {*STAGES, Path(dag.__file__)}
    strict = {*sources("pipeline"), *sources("components/resolvers"), ROOT / "gateline.py"}
    assert (
        offenders(
            {
                relative(path): [text for text in texts(path) if (whole if path in strict else part).search(text)]
                for path in {*OURS} - allowed
            }
        )
        == {}
    )


def texts(path: Path) -> list[str]:
    """The string literals of a file that are no docstrings, and the constant parts of f-strings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    literals = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in statements]
    return [node.value for node in literals if isinstance(node.value, str)]


def test_files_and_functions_are_short_and_modules_have_docstrings() -> None:
    for path in OURS:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        assert len(text.splitlines()) <= 300, path
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        long = {
            f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno and f.end_lineno - f.lineno + 1 > 60
        }
        assert long == {}, path
        assert ast.get_docstring(tree), path


def test_lines_of_templates_and_scripts_are_short() -> None:
    """Ruff checks those of Python files."""
    paths = [*(ROOT / "pipeline").rglob("*.j2"), ROOT / "Makefile", ROOT / ".ci/run"]
    assert len(paths) > 10
    long = [
        f"{relative(path)}:{number}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 120
    ]
    assert long == []


def test_text_files_state_their_encoding() -> None:
    """The user's locale must not decide how a file is read or written."""
    without_encoding = {
        relative(path): [
            f"line {node.lineno}"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and _opens_text(node)
            if not any(keyword.arg == "encoding" for keyword in node.keywords)
        ]
        for path in [*OURS, *sources("tests")]
    }
    assert offenders(without_encoding) == {}


def _opens_text(call: ast.Call) -> bool:
    """True for `read_text` and `write_text`, and for `open` and `os.fdopen` in a text mode."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in ("read_text", "write_text"):
        return isinstance(function, ast.Attribute)
    if name not in ("open", "fdopen") or set(re.findall(r"\w+", ast.unparse(function))) & {*OPENS_NO_TEXT} - {name}:
        return name == "fdopen" and not _is_binary(call, 1)
    return not _is_binary(call, 0 if isinstance(function, ast.Attribute) else 1)


def _is_binary(call: ast.Call, position: int) -> bool:
    """Whether the mode, an argument at this position or a keyword, is binary."""
    modes = [*call.args[position : position + 1], *(each.value for each in call.keywords if each.arg == "mode")]
    return any("b" in ast.unparse(mode) for mode in modes)


def test_product_code_has_no_assert() -> None:
    """`python -O` drops asserts, so a check that matters must not be one."""
    asserts = [
        f"{relative(path)}:{node.lineno}"
        for path in OURS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert asserts == []
