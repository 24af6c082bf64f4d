# SPDX-License-Identifier: Apache-2.0
"""The structure of a config.json by the OCI runtime specification 1.0.2, as far as we write it.

A schema is a type, a set of texts, a range, a pattern, a list of one schema, or a dict of them.
A key that ends in ``!`` has to be there, and one that a dict does not name may not: we write no
extensions.
"""

import re
from typing import Any

ABSOLUTE = re.compile("/.*")
CAPABILITY = re.compile("CAP_[A-Z_]+")
CAPABILITIES = {
    name: [CAPABILITY]
    for name in ("bounding", "effective", "permitted", "inheritable", "ambient")
}
NAMESPACES = {"pid", "network", "mount", "ipc", "uts", "user", "cgroup"}
ACTIONS = re.compile("SCMP_ACT_(KILL_(PROCESS|THREAD)|KILL|TRAP|ERRNO|TRACE|ALLOW|LOG)")
OPERATORS = re.compile("SCMP_CMP_(NE|LT|LE|EQ|GE|GT|MASKED_EQ)")
ACCESS = re.compile("r?w?m?")

CONFIG: dict[str, Any] = {
    "ociVersion!": re.compile(r"1\.0\.\d+"),
    "root!": {"path!": str, "readonly": bool},
    "hostname": str,
    "domainname": str,
    "annotations": {str: str},
    "mounts": [{"destination!": ABSOLUTE, "type": str, "source": str, "options": [str]}],
    "process!": {
        "terminal": bool,
        "consoleSize": {"height!": int, "width!": int},
        "cwd!": ABSOLUTE,
        "env": [re.compile("[^=]+=.*", re.DOTALL)],
        "args!": [str],
        "rlimits": [{"type!": re.compile("RLIMIT_[A-Z]+"), "soft!": int, "hard!": int}],
        "apparmorProfile": str,
        "capabilities": CAPABILITIES,
        "noNewPrivileges": bool,
        "oomScoreAdj": range(-1000, 1001),
        "user!": {"uid!": int, "gid!": int, "umask": int, "additionalGids": [int]},
    },
    "linux!": {
        "namespaces": [{"type!": NAMESPACES, "path": ABSOLUTE}],
        "devices": [
            {
                "type!": {"c", "b", "u", "p"},
                "path!": ABSOLUTE,
                "major": int,
                "minor": int,
                "fileMode": int,
                "uid": int,
                "gid": int,
            }
        ],
        "cgroupsPath": str,
        "resources": {
            "devices": [
                {
                    "allow!": bool,
                    "type": {"a", "b", "c"},
                    "major": int,
                    "minor": int,
                    "access": ACCESS,
                }
            ],
            "memory": {
                "limit": int,
                "reservation": int,
                "swap": int,
                "swappiness": int,
                "disableOOMKiller": bool,
            },
            "cpu": {
                "shares": int,
                "quota": int,
                "period": int,
                "cpus": str,
                "mems": str,
            },
            "blockIO": {"weight": int},
            "pids": {"limit!": int},
        },
        "rootfsPropagation": {"shared", "slave", "private", "unbindable", "rslave", "rshared"},
        "seccomp": {
            "defaultAction!": ACTIONS,
            "defaultErrnoRet": int,
            "architectures": [re.compile("SCMP_ARCH_[A-Z0-9_]+")],
            "syscalls": [
                {
                    "names!": [re.compile("[a-z0-9_]+")],
                    "action!": ACTIONS,
                    "errnoRet": int,
                    "args": [
                        {
                            "index!": int,
                            "value!": int,
                            "valueTwo": int,
                            "op!": OPERATORS,
                        }
                    ],
                }
            ],
        },
        "sysctl": {str: str},
        "maskedPaths": [ABSOLUTE],
        "readonlyPaths": [ABSOLUTE],
    },
}


def check(value: Any, schema: Any = CONFIG, where: str = "config.json") -> None:
    """Assert that `value` is as `schema` says; `where` is for the message."""
    if isinstance(schema, dict):
        _check_object(value, schema, where)
    elif isinstance(schema, list):
        assert isinstance(value, list), where
        for index, item in enumerate(value):
            check(item, schema[0], f"{where}[{index}]")
    elif isinstance(schema, set | range):
        assert value in schema, (where, value)
    elif isinstance(schema, re.Pattern):
        assert isinstance(value, str), (where, value)
        assert schema.fullmatch(value), (where, value)
    else:
        assert type(value) is schema, (where, value)
        assert schema is not int or -1 <= value < 1 << 64, (where, value)


def _check_object(value: Any, schema: dict[Any, Any], where: str) -> None:
    assert isinstance(value, dict), (where, value)
    if str in schema:  # any names
        for key, item in value.items():
            check(item, schema[str], f"{where}.{key}")
        return
    known = {key.rstrip("!"): inner for key, inner in schema.items()}
    needed = {key.rstrip("!") for key in schema if key.endswith("!")}
    assert needed <= set(value), (where, needed - set(value))
    for key, item in value.items():
        assert key in known, f"{where}.{key} is no key of the specification"
        check(item, known[key], f"{where}.{key}")
