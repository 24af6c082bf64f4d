# SPDX-License-Identifier: Apache-2.0
"""``inspect``, and ``inspect`` of ``container``, ``image`` and ``volume``."""

import json
from collections.abc import Callable

from minidock.annotations import Any
from minidock.cli.command import command
from minidock.cli.flags import switch, value
from minidock.cli.output import out, report
from minidock.cli.session import Session
from minidock.cli.templates import Template, compile_template
from minidock.engine.options import ListContainers
from minidock.errors import InvalidArgument, MinidockError, NotFound

Lookup = Callable[[str], dict[str, Any]]

_FORMAT = value(
    "-f",
    "--format",
    "template",
    help="Format output using a custom template: json or a Go template",
)
_SIZE = switch("-s", "--size", help="Display total file sizes if the type is container")


class NoSuchObject(NotFound):
    """Neither a container nor an image nor a volume; the text is docker's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No such object: {name}")


@command(
    "Return low-level information on containers, images and volumes",
    "[OPTIONS] NAME|ID [NAME|ID...]",
    (1, None),
)
@_FORMAT
@_SIZE
@value(
    "--type",
    "kind",
    help="Only inspect objects of the given type (container, image, volume)",
)
def inspect(
    session: Session, /, arguments: tuple[str, ...], template: str, size: bool, kind: str
) -> int:
    """Describe what there is of a name: a container, or else an image, or else a volume."""
    engine = session.engine
    kinds: dict[str, Callable[[], Lookup]] = {
        "container": lambda: _containers(session, size),
        "image": lambda: engine.images.inspect,
        "volume": lambda: engine.volumes.inspect,
    }

    def any_of_them(name: str) -> dict[str, Any]:
        for look_up in kinds.values():
            try:
                return look_up()(name)
            except NotFound:
                continue
        raise NoSuchObject(name)

    if not kind:
        return _inspect(arguments, template, any_of_them)
    if kind in kinds:
        return _inspect(arguments, template, kinds[kind]())
    raise InvalidArgument(f'"{kind}" is not a valid value for --type')


@command(
    "Display detailed information on one or more containers",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (1, None),
)
@_FORMAT
@_SIZE
def container_inspect(
    session: Session, /, arguments: tuple[str, ...], template: str, size: bool
) -> int:
    """Describe containers."""
    return _inspect(arguments, template, _containers(session, size))


@command(
    "Display detailed information on one or more images",
    "[OPTIONS] IMAGE [IMAGE...]",
    (1, None),
)
@_FORMAT
def image_inspect(session: Session, /, arguments: tuple[str, ...], template: str) -> int:
    """Describe images."""
    return _inspect(arguments, template, session.engine.images.inspect)


@command(
    "Display detailed information on one or more volumes",
    "[OPTIONS] VOLUME [VOLUME...]",
    (1, None),
)
@_FORMAT
def volume_inspect(session: Session, /, arguments: tuple[str, ...], template: str) -> int:
    """Describe volumes."""
    return _inspect(arguments, template, session.engine.volumes.inspect)


def _containers(session: Session, size: bool) -> Lookup:
    containers = session.engine.containers

    def look_up(name: str) -> dict[str, Any]:
        document = containers.inspect(name)
        if size:
            options = ListContainers(all=True, filters=(("id", document["Id"]),), size=True)
            for view in containers.list(options):
                document |= {"SizeRw": view.size_rw, "SizeRootFs": view.size_root}
        return document

    return look_up


def _inspect(names: tuple[str, ...], format: str, look_up: Lookup) -> int:
    """Print what is found, then the errors; return 1 if there are any."""
    template = compile_template(format) if format not in ("", "json") else None
    found: list[dict[str, Any]] = []
    errors: list[MinidockError] = []
    for name in names:
        try:
            found.append(look_up(name))
        except MinidockError as e:
            errors.append(e)
    _print(found, template, compact=format == "json")
    for error in errors:
        report(error)
    return 1 if errors else 0


def _whole(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the members that docker's type has and its JSON leaves out.

    A template may ask for them: ``{{if .State.Health}}``.
    """
    whole = dict(document)
    for section, members in _OMITTED.items():
        if isinstance(whole.get(section), dict):
            whole[section] = members | whole[section]
    return whole


_OMITTED: dict[str, dict[str, Any]] = {
    "State": {"Health": None},
    "Config": {"Healthcheck": None, "OnBuild": None, "StopSignal": "", "StopTimeout": None},
}


def _print(found: list[dict[str, Any]], template: Template | None, *, compact: bool) -> None:
    if template is not None:
        # Docker prints an empty line where it finds nothing to put into the template.
        for text in [template.render(_whole(document)) for document in found] or [""]:
            out(text)
    elif compact:
        out(json.dumps(found, ensure_ascii=False, separators=(",", ":")))
    else:
        out(json.dumps(found, ensure_ascii=False, indent=4))
