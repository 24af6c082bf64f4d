# SPDX-License-Identifier: Apache-2.0
"""The lesson, word for word: pull a web server, change it, commit it, run both."""

import re

from tests.system.place import Place, free_port, get

ID = r"[0-9a-f]{64}"


def test_pull_images_and_pull_again(place: Place):
    """A pull tells its steps on stdout; the second finds everything there."""
    lines = place("pull", "tomcat:9.0").splitlines()
    assert lines[0] == "9.0: Pulling from library/tomcat"
    layers = [line.split(": ") for line in lines if re.match(r"[0-9a-f]{12}: ", line)]
    assert len({digest for digest, _ in layers}) == 2
    assert {state for _, state in layers} == {
        "Pulling fs layer",
        "Download complete",
        "Pull complete",
    }
    assert re.fullmatch(f"Digest: sha256:{ID}", lines[-3])
    assert lines[-2:] == [
        "Status: Downloaded newer image for tomcat:9.0",
        "docker.io/library/tomcat:9.0",
    ]
    again = place("pull", "tomcat:9.0").splitlines()
    assert [line.split(": ")[1] for line in again[1:3]] == ["Already exists"] * 2
    assert again[-2] == "Status: Image is up to date for tomcat:9.0"

    header, row = place("images").splitlines()
    assert header.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    image_id = place.inspect("tomcat:9.0")["Id"]
    assert row.split()[:3] == ["tomcat", "9.0", image_id[7:19]]
    assert re.search(r"years? ago +\S+MB$", row)


def test_the_lesson(minidock: Place):
    """Without the documentation there is a 404 in the new image, and a 200 in the old one."""
    port, other = free_port(), free_port()
    out = minidock("run", "-d", "-p", f"{port}:8080", "--name", "web", "tomcat:9.0")
    assert re.fullmatch(f"{ID}\n", out)
    container = out.strip()

    assert get(port, "/docs/") == (200, "<title>the documentation</title>\n")
    header, row = minidock("ps").splitlines()
    assert re.split("  +", header) == [
        "CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES",
    ]  # fmt: skip
    assert row.startswith(f'{container[:12]}   tomcat:9.0   "httpd -f -v -p 8080"   ')
    assert re.search(rf"   Up .*   0\.0\.0\.0:{port}->8080/tcp   web$", row)
    assert minidock("port", "web") == f"8080/tcp -> 0.0.0.0:{port}\n"
    assert minidock("port", "web", "8080") == f"0.0.0.0:{port}\n"

    assert minidock("exec", "web", "rm", "-rf", "docs") == ""
    assert minidock("exec", "web", "ls") == "examples\n"
    assert get(port, "/docs/")[0] == 404
    assert minidock("diff", "web") == "C /srv\nC /srv/www\nD /srv/www/docs\n"

    out = minidock(
        "commit", "-m", "no documentation", "-a", "A <a@b.example>", "web", "tomcat:slim"
    )
    assert re.fullmatch(f"sha256:{ID}\n", out)
    slim = minidock.inspect("tomcat:slim")
    assert (slim["Id"], slim["Author"]) == (out.strip(), "A <a@b.example>")
    rows = minidock("images", "tomcat").splitlines()[1:]
    assert [line.split()[1] for line in rows] == ["slim", "9.0"]

    minidock("run", "-d", "-p", f"{other}:8080", "--name", "slim", "tomcat:slim")
    assert get(other, "/examples/") == (200, "<title>the examples</title>\n")
    assert get(other, "/docs/")[0] == 404
    original = free_port()
    minidock("run", "-d", "-p", f"{original}:8080", "tomcat:9.0")
    assert get(original, "/docs/")[0] == 200

    history = minidock("history", "tomcat:slim").splitlines()
    assert re.split("  +", history[0]) == ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]
    assert re.search(r"ago +httpd -f -v -p 8080 +\S+B +no documentation$", history[1])
    assert "COPY www /srv/www" in history[2]
    assert "ADD busybox /" in history[3]
    assert minidock("history", "-q", "--no-trunc", "tomcat:slim").split()[0] == out.strip()


def test_commit_with_equals_signs(minidock: Place):
    """``-m="..." -a="..."`` is the same as with blanks."""
    minidock("run", "--name", "done", "base", "touch", "/new")
    minidock("commit", "-m=a message", "-a=An Author", "done", "kept:1")
    image = minidock.inspect("kept:1")
    assert (image["Comment"], image["Author"]) == ("a message", "An Author")
    assert minidock("run", "--rm", "kept:1", "ls", "/new") == "/new\n"


def test_a_container_from_start_to_removal(minidock: Place):
    """ps, logs, stop, start, wait, kill, rm tell and do what docker's do."""
    script = "trap 'echo bye; exit 7' TERM; echo up; echo oops >&2; while :; do sleep 0.1; done"
    minidock("run", "-d", "--name", "app", "base", "sh", "-c", script)
    minidock.await_log("app", "up")
    result = minidock.result("logs", "app")
    assert result == (0, b"up\n", b"oops\n")

    assert minidock("stop", "app") == "app\n"
    assert minidock("ps") == minidock("ps", "-f", "name=nobody")
    assert re.search(r"   Exited \(7\) .* ago +app$", minidock("ps", "-a").splitlines()[1])
    assert minidock("wait", "app") == "7\n"
    state = minidock.state("app")
    assert (state["Status"], state["ExitCode"], state["Pid"]) == ("exited", 7, 0)
    assert minidock.result("logs", "app").text == "up\nbye\n"

    assert minidock("start", "app") == "app\n"
    minidock.await_log("app", "up\nbye\nup\n")
    assert minidock("rename", "app", "worker") == ""
    assert minidock("kill", "worker") == "worker\n"
    assert minidock("wait", "worker") == "137\n"
    assert minidock("rm", "worker") == "worker\n"
    assert minidock("ps", "-aq") == ""


def test_diff_and_commit_leave_the_mounts_out(minidock: Place):
    """What minidock made to mount on is no change of the container's."""
    minidock("pull", "-q", "bare")
    minidock("run", "--name", "box", "bare", "touch", "/new")
    assert minidock("diff", "box") == "A /new\n"
    minidock("commit", "box", "kept")
    assert minidock("run", "--rm", "kept", "ls", "/new", "/etc/hosts") == "/etc/hosts\n/new\n"
