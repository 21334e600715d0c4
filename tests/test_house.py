"""The house rules that a reader cannot see: import direction, start-up weight, generated tables, documents."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from thg_zoo.cli.listing import markdown_table
from thg_zoo.zoo import list_models

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "thg_zoo"

# Who may import whom: a module may import those of its own and of lower layers.
LAYERS = [
    {"errors", "version"},
    {"timing", "options", "spec", "run", "background"},
    {"media", "audio", "nn", "runtime", "provenance", "report", "keypoints", "memory", "plots"},
    {"faces", "face3d", "weights", "inputs", "motion"},
    {"source_stream", "streaming", "animation", "adapter", "recording", "video_driven", "first_order"},
    {"adapters"},
    {"zoo", "configs"},
    {"jobs", "metrics", "bench"},
    {"comparison"},
    {"demo"},
    {"cli", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

HEAVY = {"torch", "gradio", "librosa", "scipy", "cv2", "numpy", "huggingface_hub", "omegaconf", "PIL", "safetensors"}


def sources() -> list[Path]:
    folders = [PACKAGE, ROOT / "adapters", ROOT / "demo", ROOT / "configs"]
    return [path for folder in folders for path in sorted(folder.rglob("*.py"))]


def layer_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE) if path.is_relative_to(PACKAGE) else path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def imports(tree: ast.AST, *, typing_too: bool = False) -> set[str]:
    """Names of modules imported anywhere in a file; those for type checking only are left out unless wanted."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing_too:
            skipped.update(inner for statement in node.body for inner in ast.walk(statement))
    found = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "thg_zoo" or node.module in {f"thg_zoo.{p}" for p in ("cli", "weights", "adapters")}:
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    own = layer_of(path)
    if own == "__init__":
        return
    for module in imports(ast.parse(path.read_text(encoding="utf-8"))):
        parts = module.split(".")
        if parts[0] != "thg_zoo" or len(parts) < 2 or parts[1] not in LEVEL:
            continue
        assert LEVEL[parts[1]] <= LEVEL[own], f"{path.name} ({own}) imports {module}"
        if own == "adapters" and parts[1] == "adapters" and len(parts) > 2:
            assert parts[2] == path.relative_to(ROOT).parts[1], f"{path} imports another adapter"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} has no docstring"


def imported_by(code: str) -> set[str]:
    """Top-level packages that a fresh interpreter has imported after `code`."""
    report = f"{code}\nimport sys; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split("\n")[-2].split())


def test_importing_the_package_is_light() -> None:
    assert not imported_by("import thg_zoo") & HEAVY


@pytest.mark.parametrize("command", ["--help", "list", "run --help", "info warp", "weights --help"])
def test_looking_around_is_light(command: str) -> None:
    code = f"from thg_zoo.cli.main import _main; _main({command.split()!r})"
    assert not imported_by(code) & (HEAVY - {"omegaconf"})


def test_the_readme_table_is_generated() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- thg-zoo list --markdown -->\n(.*?)\n<!-- end -->", readme, re.S)
    assert table
    assert table[1] == markdown_table(list_models())


@pytest.mark.parametrize("name", ["numpy", "scipy", "librosa", "torch", "typer", "rich"])
def test_tested_versions_are_pinned(name: str) -> None:
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert re.search(rf"^{name}==\S+$", pinned, re.M)


def test_every_adapter_has_a_card_and_a_page() -> None:
    for model in list_models():
        folder = ROOT / "adapters" / model.spec.name
        assert (folder / "README.md").is_file(), f"{folder} has no model card"
        assert (ROOT / "configs" / f"{model.spec.name}.yaml").is_file()


def test_links_between_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "adapters").glob("*/README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_package_is_in_the_wheel() -> None:
    """A folder that pyproject.toml does not name works from a checkout and is missing for everybody else."""
    listed = set(re.findall(r'^    "(thg_zoo[\w.]*)",$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M))
    for path in sources():
        base = PACKAGE if path.is_relative_to(PACKAGE) else ROOT
        assert ".".join(("thg_zoo", *path.relative_to(base).parts[:-1])) in listed
