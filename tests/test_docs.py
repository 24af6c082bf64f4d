# SPDX-License-Identifier: Apache-2.0
"""The documents and scripts keep their promises."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRACKED = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    if name and (ROOT / name).is_file()
]
PAGES = sorted(path for path in TRACKED if path.suffix == ".md")
SCRIPTS = sorted(path for path in TRACKED if path.parent == ROOT / "scripts")
README = (ROOT / "README.md").read_text()

named = {"ids": lambda path: str(path.relative_to(ROOT))}


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("command", ["scripts/demo", "scripts/test"])
def test_the_two_commands_exist(command: str) -> None:
    """README names them, and they can be executed."""
    assert f"# {command}\n" in README
    assert os.access(ROOT / command, os.X_OK)


@pytest.mark.parametrize("page", PAGES, **named)
def test_scripts_named_in_pages_exist(page: Path) -> None:
    """Whatever a page calls scripts/…, is there."""
    for name in re.findall(r"\bscripts/[a-z0-9-]+", page.read_text()):
        assert (ROOT / name).exists(), f"{page.name}: {name}"


@pytest.mark.parametrize("script", SCRIPTS, **named)
def test_scripts_say_what_they_do(script: Path) -> None:
    """A script is executable and begins with its purpose."""
    interpreter, *rest = script.read_text().splitlines()
    assert interpreter in ("#!/bin/sh", "#!/usr/bin/env python3")
    if interpreter == "#!/bin/sh":
        assert rest[0].startswith("# ")
        assert "set -eu" in rest
    else:
        assert any(line.startswith('"""') for line in rest[:2])
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize("page", PAGES, **named)
def test_links_resolve(page: Path) -> None:
    """A relative link leads to a tracked file or directory, and to a heading in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(linked), f"{page.name}: {target}"


@pytest.mark.parametrize("script", SCRIPTS, **named)
def test_scripts_name_no_mirror(script: Path) -> None:
    """Packages come from where the machine is configured to get them."""
    hosts = re.findall(r"\w+://([\w.-]+)", script.read_text())
    assert set(hosts) <= {"127.0.0.1", "registry-1.docker.io"}


def test_the_table_of_commands_is_true() -> None:
    """README claims just the commands that the command line has."""
    commands = pytest.importorskip("minidock.cli.commands", reason="no command line here")
    rows = re.findall(r"^\| (`.+?) \| (✓|–) \|", README, re.MULTILINE)
    claimed, missing = (
        {
            name
            for names, mark in rows
            if mark == wanted
            for name in re.findall(r"`(\w+)`", names)
        }
        for wanted in "✓–"
    )
    nouns = {"container", "image", "system", "help"}
    assert set(commands.root.table) - nouns == claimed
    assert not missing & set(commands.root.table)


def test_every_command_is_in_the_page_on_compatibility() -> None:
    """Each command of the table, and each flag of run's without effect, stands there."""
    commands = pytest.importorskip("minidock.cli.commands", reason="no command line here")
    flags = pytest.importorskip("minidock.cli.container_flags", reason="no command line here")
    page = (ROOT / "docs/compatibility.md").read_text()
    rows = re.findall(r"^\| (`.+?) \| ([✓◐✗]) \|", page, re.MULTILINE)
    there = {
        name for names, mark in rows if mark != "✗" for name in re.findall("`(.+?)`", names)
    }
    missing = {
        name for names, mark in rows if mark == "✗" for name in re.findall("`(.+?)`", names)
    }
    assert set(commands.root.table) <= there
    assert not missing & set(commands.root.table)
    without_effect = page[page.index("The rest of docker's flags") :]
    listed = set(re.findall(r"`(--[a-z0-9-]+)`", without_effect.partition("A value that")[0]))
    assert listed == {ignored.name for ignored in flags.IGNORED}


def test_tests_that_the_page_on_security_names_exist() -> None:
    """What is promised there is held by a test of that name."""
    page = (ROOT / "docs/security.md").read_text()
    tests = [path for path in TRACKED if path.name.startswith("test_")]
    names = {path.name for path in tests}
    for path in tests:
        names |= set(re.findall(r"def (test_\w+)", path.read_text()))
    for name in re.findall(r"\btest_\w+(?:\.py)?", page):
        assert name in names, name
