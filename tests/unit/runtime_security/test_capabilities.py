"""Names, numbers and docker's arithmetic of capabilities."""

import pytest

from minidock.errors import InvalidArgument
from minidock.linux.capabilities import (
    DOCKER_DEFAULT,
    NAMES,
    bounding,
    effective_set,
    mask,
    names,
)

ALL = (1 << len(NAMES)) - 1


def effective(add=(), drop=(), *, privileged=False, available=ALL) -> int:
    return effective_set(add, drop, privileged=privileged, bounding=available)


def test_numbers_are_the_kernels():
    """The list has the 41 capabilities in the order of linux/capability.h."""
    assert len(NAMES) == 41
    assert mask(["CAP_CHOWN"]) == 1
    assert mask(["CAP_SYS_ADMIN"]) == 1 << 21
    assert mask(["CAP_CHECKPOINT_RESTORE"]) == 1 << 40


def test_default_is_dockers():
    """/proc/self/status of a docker container shows these bits."""
    assert DOCKER_DEFAULT == 0xA80425FB
    assert effective() == DOCKER_DEFAULT
    assert len(names(DOCKER_DEFAULT)) == 14


def test_names_and_mask_are_inverse():
    """Bits to names and back."""
    assert names(mask(["CAP_BPF", "CAP_CHOWN", "CAP_BPF"])) == ("CAP_CHOWN", "CAP_BPF")
    assert mask(names(ALL)) == ALL
    assert names(1 << 63) == ()


@pytest.mark.parametrize("name", ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_Net_Admin"])
def test_spellings(name):
    """Case and prefix don't matter."""
    assert effective([name]) == DOCKER_DEFAULT | mask(["CAP_NET_ADMIN"])


def test_add_and_drop():
    """ALL adds or drops everything, what is added wins over what is dropped."""
    chown, admin = mask(["CAP_CHOWN"]), mask(["CAP_SYS_ADMIN"])
    assert effective(drop=["CHOWN"]) == DOCKER_DEFAULT & ~chown
    assert effective(drop=["all"]) == 0
    assert effective(["CHOWN"], ["ALL"]) == chown
    assert effective(["ALL"]) == ALL
    assert effective(["ALL"], ["SYS_ADMIN"]) == ALL & ~admin
    assert effective(["SYS_ADMIN"], ["SYS_ADMIN"]) == DOCKER_DEFAULT | admin


def test_nothing_exceeds_the_bounding_set():
    """Privileged, ALL and the defaults give what there is; an impossible wish is an error."""
    available = ALL & ~mask(["CAP_SYS_RESOURCE", "CAP_MKNOD"])
    assert effective(privileged=True, available=available) == available
    assert effective(["ALL"], available=available) == available
    assert effective(available=available) == DOCKER_DEFAULT & available
    with pytest.raises(InvalidArgument, match=r"not available.*CAP_SYS_RESOURCE"):
        effective(["SYS_RESOURCE"], available=available)


@pytest.mark.parametrize(
    ("add", "drop", "message"),
    [
        (["FOO"], [], 'invalid CapAdd: unknown capability: "CAP_FOO"'),
        ([], ["cap_foo"], 'invalid CapDrop: unknown capability: "CAP_FOO"'),
        ([""], [], 'invalid CapAdd: unknown capability: "CAP_"'),
    ],
)
def test_unknown_names(add, drop, message):
    """The message is docker's, with --privileged too."""
    for privileged in (False, True):
        with pytest.raises(InvalidArgument) as error:
            effective(add, drop, privileged=privileged)
        assert error.value.message == message


def test_bounding_is_what_proc_says():
    """The bounding set is CapBnd."""
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("CapBnd")]
    assert bounding() == int(line.split()[1], 16)
