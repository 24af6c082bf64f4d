# SPDX-License-Identifier: Apache-2.0
"""The command table: every name, the module it lives in, and the line the help says of it."""

from minidock import __version__
from minidock.cli.flags import Given, switch, value
from minidock.cli.group import Entry, Group
from minidock.cli.output import out
from minidock.cli.session import Session

PROGRAM = "minidock"

VARIABLE = "_MINIDOCK_COMPLETE"
"""Set by the shell that wants to know what may follow; see completion.py."""

_COMMON = "Common Commands"
_MANAGEMENT = "Management Commands"
_UNLISTED = ""


def _entry(module: str, attribute: str, help: str) -> Entry:
    return Entry(f"minidock.cli.{module}", attribute, help)


_ATTACH = _entry(
    "container_attach",
    "attach",
    "Attach local standard input, output, and error streams to a running container",
)
_COMMIT = _entry("container_commit", "commit", "Create a new image from a container's changes")
_CP = _entry(
    "container_copy",
    "cp",
    "Copy files/folders between a container and the local filesystem",
)
_CREATE = _entry("container_run", "create", "Create a new container")
_DIFF = _entry(
    "container_show",
    "diff",
    "Inspect changes to files or directories on a container's filesystem",
)
_EVENTS = _entry("system_events", "events", "Get real time events from the server")
_EXEC = _entry("container_exec", "exec_", "Execute a command in a running container")
_EXPORT = _entry(
    "container_export", "export", "Export a container's filesystem as a tar archive"
)
_HISTORY = _entry("image_history", "history", "Show the history of an image")
_IMAGES = _entry("image_list", "images", "List images")
_INFO = _entry("system_info", "info", "Display system-wide information")
_KILL = _entry("container_state", "kill", "Kill one or more running containers")
_LOGS = _entry("container_logs", "logs", "Fetch the logs of a container")
_PAUSE = _entry("container_pause", "pause", "Pause all processes within one or more containers")
_PORT = _entry(
    "container_show", "port", "List port mappings or a specific mapping for the container"
)
_PS = _entry("container_list", "ps", "List containers")
_PULL = _entry("image_pull", "pull", "Download an image from a registry")
_RENAME = _entry("container_state", "rename", "Rename a container")
_RESTART = _entry("container_state", "restart", "Restart one or more containers")
_RM = _entry("container_state", "rm", "Remove one or more containers")
_RMI = _entry("image_change", "rmi", "Remove one or more images")
_RUN = _entry("container_run", "run", "Create and run a new container from an image")._replace(
    starts=True
)
_START = _entry("container_attach", "start", "Start one or more stopped containers")._replace(
    starts=True
)
_STATS = _entry(
    "container_stats",
    "stats",
    "Display a live stream of container(s) resource usage statistics",
)
_STOP = _entry("container_state", "stop", "Stop one or more running containers")
_TAG = _entry("image_change", "tag", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE")
_TOP = _entry("container_top", "top", "Display the running processes of a container")
_UNPAUSE = _entry(
    "container_pause", "unpause", "Unpause all processes within one or more containers"
)
_UPDATE = _entry("container_update", "update", "Update configuration of one or more containers")
_VOLUME_LS = _entry("volume_list", "ls", "List volumes")
_VOLUME_RM = _entry("volume_change", "rm", "Remove one or more volumes")
_WAIT = _entry(
    "container_state",
    "wait",
    "Block until one or more containers stop, then print their exit codes",
)


def _alias(entry: Entry) -> Entry:
    return entry._replace(section=_UNLISTED)


_CONTAINER = {
    "attach": _ATTACH,
    "commit": _COMMIT,
    "cp": _CP,
    "create": _CREATE,
    "diff": _DIFF,
    "exec": _EXEC,
    "export": _EXPORT,
    "inspect": _entry(
        "inspect",
        "container_inspect",
        "Display detailed information on one or more containers",
    ),
    "kill": _KILL,
    "logs": _LOGS,
    "ls": _PS,
    "pause": _PAUSE,
    "port": _PORT,
    "prune": _entry("prune", "containers", "Remove all stopped containers"),
    "rename": _RENAME,
    "restart": _RESTART,
    "rm": _RM,
    "run": _RUN,
    "start": _START,
    "stats": _STATS,
    "stop": _STOP,
    "top": _TOP,
    "unpause": _UNPAUSE,
    "update": _UPDATE,
    "wait": _WAIT,
    "list": _alias(_PS),
    "ps": _alias(_PS),
    "remove": _alias(_RM),
}

_IMAGE = {
    "history": _HISTORY,
    "inspect": _entry(
        "inspect", "image_inspect", "Display detailed information on one or more images"
    ),
    "ls": _IMAGES,
    "prune": _entry("prune", "images", "Remove unused images"),
    "pull": _PULL,
    "rm": _RMI,
    "tag": _TAG,
    "list": _alias(_IMAGES),
    "remove": _alias(_RMI),
}


_VOLUME = {
    "create": _entry("volume_change", "create", "Create a volume"),
    "inspect": _entry(
        "inspect", "volume_inspect", "Display detailed information on one or more volumes"
    ),
    "ls": _VOLUME_LS,
    "prune": _entry("volume_change", "prune", "Remove unused local volumes"),
    "rm": _VOLUME_RM,
    "list": _alias(_VOLUME_LS),
    "remove": _alias(_VOLUME_RM),
}


_COMPLETION = {
    shell: _entry("completion", shell, f"Generate the autocompletion script for {shell}")
    for shell in ("bash", "fish", "zsh")
}

completion = Group("Generate the autocompletion script for a shell", _COMPLETION)
container = Group("Manage containers", _CONTAINER)
image = Group("Manage images", _IMAGE)
system = Group(
    "Manage minidock",
    {
        "events": _EVENTS,
        "info": _INFO,
        "prune": _entry("prune", "everything_unused", "Remove unused data"),
        "restore": _entry(
            "system_restore",
            "restore",
            "Start the containers that do not run and whose restart policy wants them to, "
            "at boot",
        ),
    },
)
volume = Group("Manage volumes", _VOLUME)


def _group(attribute: str, help: str) -> Entry:
    return Entry(__name__, attribute, help, _MANAGEMENT)


_TABLE = {
    "run": _RUN._replace(section=_COMMON),
    "exec": _EXEC._replace(section=_COMMON),
    "ps": _PS._replace(section=_COMMON),
    "pull": _PULL._replace(section=_COMMON),
    "images": _IMAGES._replace(section=_COMMON),
    "version": Entry(
        "minidock.cli.system_info", "version", "Show the version information", _COMMON
    ),
    "info": _INFO._replace(section=_COMMON),
    "container": _group("container", "Manage containers"),
    "image": _group("image", "Manage images"),
    "system": _group("system", "Manage minidock"),
    "volume": _group("volume", "Manage volumes"),
    "attach": _ATTACH,
    "commit": _COMMIT,
    "cp": _CP,
    "create": _CREATE,
    "diff": _DIFF,
    "events": _EVENTS,
    "export": _EXPORT,
    "history": _HISTORY,
    "inspect": _entry(
        "inspect", "inspect", "Return low-level information on containers, images and volumes"
    ),
    "kill": _KILL,
    "logs": _LOGS,
    "pause": _PAUSE,
    "port": _PORT,
    "rename": _RENAME,
    "restart": _RESTART,
    "rm": _RM,
    "rmi": _RMI,
    "start": _START,
    "stats": _STATS,
    "stop": _STOP,
    "tag": _TAG,
    "top": _TOP,
    "unpause": _UNPAUSE,
    "update": _UPDATE,
    "wait": _WAIT,
    "completion": _group("completion", "")._replace(section=_UNLISTED),
    "help": Entry("minidock.cli.help_topic", "help_", "Show a command's help", _UNLISTED),
}


class _Root(Group):
    """The program; its flags stand before the command."""

    def act(self, session: Session, path: str, given: Given) -> int:
        """Take the global flags and run the command."""
        session.config_file = given.flags["config"]
        session.debug = given.flags["debug"]
        session.root = given.flags["root"]
        if given.flags["version"]:
            out(f"minidock version {__version__}")
            return 0
        return super().act(session, path, given)


root = _Root(
    "Run containers without a daemon",
    _TABLE,
    "[OPTIONS] COMMAND",
    (
        value("--config", kind="string", help="Configuration file (MINIDOCK_CONFIG)"),
        switch("-D", "--debug", help="Show tracebacks of errors"),
        value(
            "--root", kind="string", help="Directory of images and containers (MINIDOCK_ROOT)"
        ),
        switch("-v", "--version", help="Print version information and quit"),
    ),
)
