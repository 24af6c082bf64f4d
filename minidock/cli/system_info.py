# SPDX-License-Identifier: Apache-2.0
"""``version`` and ``info``."""

import json
import re
from collections.abc import Iterator

from minidock.annotations import Any
from minidock.cli.command import command
from minidock.cli.flags import value
from minidock.cli.output import out, printable
from minidock.cli.session import Session
from minidock.cli.templates import compile_template

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LABEL_WIDTH = 19
_LABELS = {
    "ApiVersion": "API Version",
    "ContainersPaused": " Paused",
    "ContainersRunning": " Running",
    "ContainersStopped": " Stopped",
    "Driver": "Storage Driver",
    "MemTotal": "Total Memory",
    "NCPU": "CPUs",
    "OSType": "OSType",
    "Os": "OS",
}
_MEMORY = frozenset(("MemTotal",))

_FORMAT = value(
    "-f",
    "--format",
    "template",
    help="Format output using a custom template: json or a Go template",
)


@command("Show the version information", "[OPTIONS]", (0, 0))
@_FORMAT
def version(session: Session, /, arguments: tuple[str, ...], template: str) -> None:
    """Show the versions of minidock and of what it stands on."""
    del arguments
    document = session.engine.system.version()
    if not _print_formatted(document, template):
        parts = ({key: part} for key, part in document.items())
        out("\n\n".join("\n".join(_lines(part, 0, _LABEL_WIDTH)) for part in parts))


@command("Display system-wide information", "[OPTIONS]", (0, 0), "system info", "info")
@_FORMAT
def info(session: Session, /, arguments: tuple[str, ...], template: str) -> None:
    """Show the number of containers and images, and what this place offers."""
    del arguments
    document = session.engine.system.info()
    if not _print_formatted(document, template):
        out("\n".join(_lines(document, 0, 0)))


def _print_formatted(document: dict[str, Any], format: str) -> bool:
    if format == "json":
        out(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
    elif format:
        out(compile_template(format).render(document))
    return bool(format)


def _lines(values: dict[str, Any], depth: int, width: int) -> Iterator[str]:
    """Yield ``Label: value`` lines; what is inside a value is indented below it."""
    indent = " " * depth
    for key, item in values.items():
        label = f"{indent}{_label(key)}:"
        match item:
            case dict():
                yield label
                yield from _lines(item, depth + 1, width)
            case list() | tuple() if item and isinstance(item[0], dict):
                yield label
                for entry in item:
                    yield from _lines(entry, depth + 1, width)
            case _:
                yield printable(f"{label.ljust(width)} {_text(key, item)}".rstrip())


def _label(key: str) -> str:
    return _LABELS.get(key) or _WORDS.sub(" ", key)


def _text(key: str, item: Any) -> str:
    match item:
        case bool():
            return str(item).lower()
        case int() if key in _MEMORY:
            return f"{item / 2**30:.4g}GiB"
        case list() | tuple():
            return " ".join(map(str, item))
    return str(item)
