"""The laws of the house, read off the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "minidock"
SOURCES = sorted(ROOT.rglob("*.py"))

RANK = {
    "errors": 0,
    "values": 0,
    "oci": 1,
    "linux": 1,
    "fs": 2,
    "progress": 2,
    "config": 2,
    "registry": 3,
    "store": 3,
    "layers": 3,
    "rootfs": 3,
    "runtime": 3,
    "network": 3,
    "build": 3,
    "engine": 4,
    "cli": 5,
    "api": 5,
    "ocicli": 5,
    "__main__": 6,
    "annotations": -1,
    "__init__": -1,
}

sources = pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):  # inside functions too
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


@sources
def test_imports_point_down(path: Path) -> None:
    """A package imports itself and lower ranks; siblings never meet below the engine."""
    here = room(path)
    for name, line in imports(path):
        head, _, rest = name.partition(".")
        there = rest.partition(".")[0]
        if head == "minidock" and there not in (here, "__version__"):
            assert RANK[there] < RANK[here], f"{path}:{line}: {here} must not import {there}"


@sources
def test_no_grab_bags(path: Path) -> None:
    """No module is called utils, helpers, common or misc."""
    assert path.stem not in {"utils", "util", "helpers", "common", "misc"}


@sources
def test_imports_stand_at_the_top(path: Path) -> None:
    """An import inside a function gives its reason on the line, or is cli's command table."""
    lines = path.read_text().splitlines()
    for outer in ast.walk(ast.parse(path.read_text())):
        if not isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(outer):
            if isinstance(node, ast.Import | ast.ImportFrom):
                line = lines[node.lineno - 1]
                assert "  # " in line, f"{path}:{node.lineno}: why is this import here?"


OWNERS = {
    "ctypes": {"linux"},
    "subprocess": {"runtime", "network", "build"},
    "multiprocessing": set(),
    "urllib3": {"registry"},
    "http": {"registry"},
    "tarfile": set(),
    "click": {"cli"},
    "typing": {"annotations", "values"},
    "rich": {"cli"},
    "yaml": {"cli"},
}


@sources
def test_libraries_stay_in_their_room(path: Path) -> None:
    """Each library with an effect on the world has one owner."""
    for name, line in imports(path):
        head = name.partition(".")[0]
        if head in OWNERS:
            assert room(path) in OWNERS[head], f"{path}:{line}: {head} is not for {room(path)}"


def attributes(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}", node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield f"{node.func.id}()", node.lineno


FRONT_ENDS = ("cli", "ocicli", "__main__")


@sources
def test_only_cli_reads_the_surroundings(path: Path) -> None:
    """Environment, arguments, working directory and terminals are read in front ends alone."""
    banned = {"os.environ", "os.getenv", "os.environb", "sys.argv", "os.getcwd", "sys.stdout"}
    banned |= {"sys.stderr", "sys.stdin"}
    for name, line in attributes(path):
        if name in banned:
            assert room(path) in FRONT_ENDS, f"{path}:{line}: {name}"


@sources
def test_nothing_below_cli_prints(path: Path) -> None:
    """What the user sees is written in cli."""
    for name, line in attributes(path):
        if name == "print()":
            assert room(path) == "cli", f"{path}:{line}: print"


FORKERS = {"runtime", "network", "build"}


@sources
def test_processes_start_in_few_rooms(path: Path) -> None:
    """Only runtime, network and build start processes."""
    for name, line in attributes(path):
        if name in {"os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.execve"}:
            assert room(path) in FORKERS, f"{path}:{line}: {name}"
