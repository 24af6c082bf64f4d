# SPDX-License-Identifier: Apache-2.0
"""Docker's seccomp profiles: the JSON file of ``--security-opt seccomp=FILE``.

The format is the OCI runtime specification's linux.seccomp with docker's additions: archMap,
and includes and excludes of a rule. As libseccomp does, names that this machine does not know
are left out. ``flags`` is accepted and has no effect.
"""

from collections import Counter
from collections.abc import Mapping

from minidock.annotations import Any
from minidock.errors import InvalidArgument, Unsupported
from minidock.linux.capabilities import NAMES, mask
from minidock.linux.syscalls import MACHINES
from minidock.oci.descriptor import InvalidDocument, json_list, json_object, json_text
from minidock.oci.manifest import load_json
from minidock.runtime.seccomp_policy import (
    ALL_BITS,
    ALLOW,
    EPERM,
    ERRNO,
    KILL_PROCESS,
    KILL_THREAD,
    LOG,
    TRACE,
    TRAP,
    Condition,
    Guard,
    Policy,
    Rule,
)

ACTIONS = {
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_TRAP": TRAP,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_ALLOW": ALLOW,
    "SCMP_ACT_LOG": LOG,
}
WITH_DATA = (ERRNO, TRACE)
_MAX_DATA = 0xFFFF

OPERATORS = {
    "SCMP_CMP_EQ": "eq",
    "SCMP_CMP_NE": "ne",
    "SCMP_CMP_LT": "lt",
    "SCMP_CMP_LE": "le",
    "SCMP_CMP_GT": "gt",
    "SCMP_CMP_GE": "ge",
}
_ARGUMENTS = 6

ABIS = {
    "SCMP_ARCH_X86_64": "x86_64",
    "SCMP_ARCH_X86": "i386",
    "SCMP_ARCH_X32": "x32",
    "SCMP_ARCH_AARCH64": "aarch64",
    "SCMP_ARCH_ARM": "arm",
}
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}  # the names of includes.arches

_UNKNOWN_CAPABILITY = 1 << 63  # nobody has it


class InvalidProfile(InvalidArgument):
    """A seccomp profile that can't be understood; nothing of it is used."""


class UnsupportedAction(Unsupported):
    """A profile asks for what needs a helper process, such as SCMP_ACT_NOTIFY."""


def parse_profile(raw: bytes, machine: str) -> Policy:
    """Return the policy that profile `raw` means on `machine` (uname(2)'s name).

    Raises:
        InvalidProfile: not JSON, or with unknown, missing or contradicting values.
        UnsupportedAction: SCMP_ACT_NOTIFY.
    """
    try:
        profile = load_json(raw, "seccomp profile")
    except InvalidDocument as e:
        raise InvalidProfile(e.message) from e
    return policy_of(profile, machine)


def policy_of(profile: Mapping[str, Any], machine: str) -> Policy:
    """Return the policy that the object `profile` means, such as ``linux.seccomp`` of a spec.

    Raises:
        InvalidProfile, UnsupportedAction: as parse_profile.
    """
    try:
        default = _action(profile, "defaultAction", "defaultErrnoRet")
        abis = _abis(profile, machine)
        rules = [
            rule
            for entry in json_list(profile.get("syscalls"), "syscalls")
            for rule in _rules(json_object(entry, "syscalls"))
        ]
    except InvalidDocument as e:
        raise InvalidProfile(e.message) from e
    return Policy(default, abis, tuple(rules))


def _abis(profile: Mapping[str, Any], machine: str) -> tuple[str, ...]:
    """Return the ABIs that `profile` lets through; the machine's own is always one."""
    listed = _texts(profile, "architectures")
    entries = json_list(profile.get("archMap"), "archMap")
    if listed and entries:
        raise InvalidProfile("use either architectures or archMap in a seccomp profile")
    native = MACHINES[machine][0].name if machine in MACHINES else machine
    for entry in entries:
        fields = json_object(entry, "archMap")
        if ABIS.get(json_text(fields, "architecture")) == native:
            listed = _texts(fields, "subArchitectures")
    return (native, *(ABIS[name] for name in listed if name in ABIS))


def _rules(entry: Mapping[str, Any]) -> list[Rule]:
    """Return an entry of ``syscalls`` as rules.

    An argument that occurs twice in an entry makes each of its conditions a rule of its own, as
    runc does it: libseccomp can't combine them.
    """
    names = _texts(entry, "names")
    if name := json_text(entry, "name"):
        if names:
            raise InvalidProfile("use either name or names in a rule of a seccomp profile")
        names = (name,)
    if not names:
        raise InvalidProfile("a rule of the seccomp profile names no system call")
    conditions = tuple(
        _condition(json_object(argument, "args"))
        for argument in json_list(entry.get("args"), "args")
    )
    rule = Rule(names, _action(entry, "action", "errnoRet"), conditions, _guard(entry))
    if max(Counter(c.argument for c in conditions).values(), default=0) > 1:
        return [rule._replace(conditions=(condition,)) for condition in conditions]
    return [rule]


def _action(fields: Mapping[str, Any], key: str, data_key: str) -> int:
    name = json_text(fields, key)
    if name == "SCMP_ACT_NOTIFY":
        raise UnsupportedAction("SCMP_ACT_NOTIFY in a seccomp profile is not supported")
    if name not in ACTIONS:
        raise InvalidProfile(f'invalid {key} in the seccomp profile: "{name}"')
    action = ACTIONS[name]
    if action not in WITH_DATA:
        return action
    return action | _number(fields, data_key, _MAX_DATA, missing=EPERM)


def _condition(fields: Mapping[str, Any]) -> Condition:
    argument = _number(fields, "index", _ARGUMENTS - 1)
    value = _number(fields, "value", ALL_BITS)
    operator = json_text(fields, "op")
    if operator == "SCMP_CMP_MASKED_EQ":  # here "value" is the mask
        return Condition(argument, "eq", _number(fields, "valueTwo", ALL_BITS), value)
    if operator not in OPERATORS:
        raise InvalidProfile(f'invalid op in the seccomp profile: "{operator}"')
    return Condition(argument, OPERATORS[operator], value)


def _guard(entry: Mapping[str, Any]) -> Guard:
    includes = json_object(entry.get("includes") or {}, "includes")
    excludes = json_object(entry.get("excludes") or {}, "excludes")
    if excludes.get("minKernel"):
        raise InvalidProfile("minKernel in excludes of a seccomp profile is not supported")
    return Guard(
        needs=_capabilities(includes),
        lacks=_capabilities(excludes),
        machines=_machines(includes),
        other_machines=_machines(excludes),
        kernel=_kernel(json_text(includes, "minKernel")),
    )


def _capabilities(fields: Mapping[str, Any]) -> int:
    wanted = set(_texts(fields, "caps"))
    unknown = _UNKNOWN_CAPABILITY if wanted.difference(NAMES) else 0
    return mask(wanted.intersection(NAMES)) | unknown


def _machines(fields: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_MACHINES.get(name, name) for name in _texts(fields, "arches"))


def _kernel(text: str) -> tuple[int, int]:
    if not text:
        return 0, 0
    major, dot, minor = text.partition(".")
    if not (dot and major.isdecimal() and minor.isdecimal()):
        raise InvalidProfile(f'invalid minKernel in the seccomp profile: "{text}"')
    return int(major), int(minor)


def _texts(fields: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = json_list(fields.get(key), key)
    for value in values:
        if not isinstance(value, str):
            raise InvalidProfile(f"invalid {key} in the seccomp profile: {value!r}")
    return tuple(values)


def _number(fields: Mapping[str, Any], key: str, highest: int, *, missing: int = 0) -> int:
    value = fields.get(key)
    if value is None:
        return missing
    # JSON's true is an int to Python
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= highest:
        raise InvalidProfile(f"invalid {key} in the seccomp profile: {value!r}")
    return value
