"""Docker's rules for image names."""

import pytest

from minidock.oci.reference import InvalidReference, parse_reference

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("tomcat", "docker.io/library/tomcat:latest", "tomcat:latest"),
        ("tomcat:10", "docker.io/library/tomcat:10", "tomcat:10"),
        ("guos/tomcat02:1.0", "docker.io/guos/tomcat02:1.0", "guos/tomcat02:1.0"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("localhost:5000/a/b:t", "localhost:5000/a/b:t", "localhost:5000/a/b:t"),
        ("index.docker.io/library/x", "docker.io/library/x:latest", "x:latest"),
        ("docker.io/x", "docker.io/library/x:latest", "x:latest"),
        ("quay.io/a/b@" + DIGEST, "quay.io/a/b@" + DIGEST, "quay.io/a/b@" + DIGEST),
        ("x:1@" + DIGEST, "docker.io/library/x:1@" + DIGEST, "x:1@" + DIGEST),
        ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest", "a__b/c-d.e:latest"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
    ],
)
def test_name_is_completed_and_shortened(text: str, full: str, familiar: str) -> None:
    """A short name gets registry, namespace and tag, and is shown without them."""
    reference = parse_reference(text)
    assert (str(reference), reference.familiar) == (full, familiar)
    assert parse_reference(full) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":x",
        "a:",
        "a b",
        "a//b",
        "-a",
        "a/../b",
        "x@sha256:12",
        "x@md5:ab",
        "a:" + "t" * 129,
    ],
)
def test_bad_name_is_refused_with_dockers_text(text: str) -> None:
    """What is no name is an invalid reference format."""
    with pytest.raises(InvalidReference, match="invalid reference format"):
        parse_reference(text)


def test_upper_case_repository_has_its_own_message() -> None:
    """Scripts look for the words about lower case."""
    with pytest.raises(InvalidReference, match=r"repository name \(Bad\) must be lowercase"):
        parse_reference("Bad")


def test_long_hexadecimal_name_is_refused() -> None:
    """64 hexadecimal digits are an id, not a name."""
    with pytest.raises(InvalidReference, match="64-byte hexadecimal"):
        parse_reference("ab" * 32)
