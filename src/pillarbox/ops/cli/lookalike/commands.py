"""The table of RabbitMQ's commands that there are here, by tool.

Not here: listings (`listings`), checks and states of the node (`diagnostics`), plugins (`plugins`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from pillarbox.ops.api_client import ApiError
from pillarbox.ops.cli.files import OWNER_ONLY, STANDARD, read_json, write_whole
from pillarbox.ops.cli.lookalike import diagnostics, listings, plugins, shovels, streams, watermarks
from pillarbox.ops.cli.lookalike.arguments import (
    EXIT_DATA,
    EXIT_NO_USER,
    EXIT_SOFTWARE,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    ToolError,
    UsageError,
)
from pillarbox.ops.cli.lookalike.run import Command, Run
from pillarbox.ops.cli.steps import left_out

Body = Callable[[Run], Any]


# --- what has to hold ------------------------------------------------------------------------------------


def _user(run: Run) -> None:
    if not run.exists("/users/{username}"):
        raise ToolError(EXIT_NO_USER, f"Error:\nUser {run.words['username']} does not exist")


def _quoted_user(run: Run) -> None:
    if not run.exists("/users/{username}"):
        raise ToolError(EXIT_NO_USER, f'Error:\nUser "{run.words["username"]}" does not exist')


def _no_user(run: Run) -> None:
    if run.exists("/users/{username}"):
        raise ToolError(EXIT_SOFTWARE, f'Error:\nUser "{run.words["username"]}" already exists')


def _vhost(run: Run) -> None:
    if not run.exists("/vhosts/{vhost}"):
        raise ToolError(EXIT_UNAVAILABLE, f"Error:\nVirtual host {run.words['vhost']} does not exist")


# --- how it is done --------------------------------------------------------------------------------------


def _request(method: str, template: str, body: Body | None = None) -> Callable[[Run], None]:
    def do(run: Run) -> None:
        run.call(method, template, body(run) if body else None)

    return do


def _remove(template: str, missing: str, status: int = EXIT_UNAVAILABLE) -> Callable[[Run], None]:
    """Delete what may not be there. `missing`: what is said then."""

    def do(run: Run) -> None:
        try:
            run.call("DELETE", template)
        except ApiError as error:
            if error.status != 404:
                raise
            raise ToolError(status, missing.format_map(run.words)) from None

    return do


def _same(*words: str, **renamed: str) -> Body:
    """A body of arguments, under their own names or other ones."""
    names = {**{word: word for word in words}, **renamed}
    return lambda run: {key: run.words[word] for key, word in names.items()}


def _value(run: Run) -> Any:
    return {"value": run.json("value")}


def _parameter(run: Run) -> Any:
    words = run.words
    return {
        "component": words["component_name"],
        "vhost": words["vhost"],
        "name": words["name"],
        "value": run.json("value"),
    }


def _policy(run: Run) -> Any:
    return {
        "pattern": run.words["pattern"],
        "definition": run.json("definition"),
        "priority": int(run.words["priority"]),
        "apply-to": run.options.get("apply_to", "all"),
    }


def _tags(user: Mapping[str, Any]) -> str:
    tags = user["tags"]
    return tags if isinstance(tags, str) else ",".join(tags)


def password(run: Run) -> str:
    """The argument or, since others can see that, standard input."""
    if run.words["password"]:
        return run.words["password"]
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass("Password: ")
    given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise ToolError(EXIT_DATA, "Error:\nPassword is not provided via argument or stdin")
    return given


def _add_user(run: Run) -> str:
    key = "password_hash" if "pre_hashed_password" in run.options else "password"
    run.call("PUT", "/users/{username}", {"tags": "", key: password(run)})
    return "" if run.is_quiet else (
        "Done. Don't forget to grant the user permissions to some virtual hosts! "
        "See 'rabbitmqctl help set_permissions' to learn more.\n"
    )  # fmt: skip


def _change_password(run: Run) -> None:
    tags = _tags(run.get("/users/{username}"))
    run.call("PUT", "/users/{username}", {"tags": tags, "password": password(run)})


def _clear_password(run: Run) -> None:
    tags = _tags(run.get("/users/{username}"))
    run.call("PUT", "/users/{username}", {"tags": tags, "password_hash": ""})


def _set_user_tags(run: Run) -> None:
    user = run.get("/users/{username}")
    kept = {key: user[key] for key in ("password_hash", "hashing_algorithm") if key in user}
    run.call("PUT", "/users/{username}", {"tags": ",".join(run.rest), **kept})


def _authenticate(run: Run) -> str:
    """Log in as the user. Who may log in but not see the management is let in, too."""
    name = run.words["username"]
    run.api.log_in(name, password(run))
    try:
        run.get("/whoami")
    except ApiError as error:
        if error.status not in (401, 403):
            raise
        if error.reason != "Not management user":
            sentence = f"Error: failed to authenticate user \"{name}\"\nuser '{name}' - invalid credentials"
            raise ToolError(EXIT_DATA, f"Error:\n{sentence}") from None
    return "Success\n"


def _set_limits(template: str) -> Callable[[Run], None]:
    def do(run: Run) -> None:
        for limit, value in run.json_object("definition").items():
            run.call("PUT", template, {"value": value}, limit=limit)

    return do


def _clear_vhost_limits(run: Run) -> None:
    for found in run.get("/vhost-limits/{vhost}"):
        for limit in found["value"]:
            run.call("DELETE", "/vhost-limits/{vhost}/{limit}", limit=limit)


def _clear_user_limits(run: Run) -> None:
    wanted = run.words["limit"]
    for found in run.get("/user-limits/{username}"):
        for limit in found["value"]:
            if wanted in (limit, "all"):
                run.call("DELETE", "/user-limits/{username}/{limit}", limit=limit)


def _add_vhost(run: Run) -> None:
    keys = ("description", "tags", "default_queue_type")
    run.call("PUT", "/vhosts/{new}", {key: run.options[key] for key in keys if key in run.options})


def _trace(on: bool) -> Callable[[Run], str]:
    def do(run: Run) -> str:
        run.call("PUT", "/vhosts/{vhost}", {"tracing": on})
        return f"Trace {'enabled' if on else 'disabled'} for vhost {run.words['vhost']}\n"

    return do


def _purge(run: Run) -> None:
    if not run.exists("/queues/{vhost}/{queue}"):
        raise ToolError(EXIT_UNAVAILABLE, "Error:\nnot_found")
    run.call("DELETE", "/queues/{vhost}/{queue}/contents")


def _delete_queue(run: Run) -> str:
    try:
        found = run.get("/queues/{vhost}/{queue}")
    except ApiError as error:
        if error.status != 404:
            raise
        raise ToolError(EXIT_USAGE, "Error:\nQueue not found") from None
    query = {name: "true" for name in ("if-empty", "if-unused") if name in run.options}
    run.api.call("DELETE", run.path("/queues/{vhost}/{queue}"), query=query)
    return f"Queue was successfully deleted with {found.get('messages_ready', 0)} ready messages\n"


def _close(run: Run, names: list[str], reason: str) -> None:
    for name in names:
        run.api.call("DELETE", run.path("/connections/{name}", name=name), headers={"X-Reason": reason})


def _close_connection(run: Run) -> None:
    _close(run, [run.words["connectionpid"]], run.words["explanation"])


def _close_all(run: Run) -> str:
    path = "/connections" if "global" in run.options else "/vhosts/{vhost}/connections"
    names = [each["name"] for each in run.get(path) if each.get("name")]
    _close(run, names, run.words["explanation"])
    return f"Closed {len(names)} connections\n"


def _close_all_of_user(run: Run) -> None:
    path = run.path("/connections/username/{username}")
    run.api.call("DELETE", path, headers={"X-Reason": run.words["explanation"]})


def _file_can_be(run: Run) -> None:
    """Where a file shall stand, its folder has to be."""
    folder = os.path.dirname(run.words["file"])
    if folder and not os.path.isdir(folder):
        raise UsageError(f"Bad argument: Directory {folder} does not exist", EXIT_DATA)


def _file_is(run: Run) -> None:
    file = run.words["file"]
    if file not in ("", STANDARD) and not os.path.exists(file):
        raise UsageError(f"Bad argument: File {file} does not exist", EXIT_DATA)


def _export(run: Run) -> str:
    text, file = json.dumps(run.get("/definitions"), ensure_ascii=False), run.words["file"]
    if file == STANDARD:
        return text
    write_whole(file, text, OWNER_ONLY)
    return ""


def _import(run: Run) -> None:
    answer = run.api.call("POST", "/definitions", read_json(run.words["file"] or STANDARD))
    for problem in left_out(answer):
        print(f"Warning: {problem}", file=sys.stderr)


def _enable_feature_flag(run: Run) -> None:
    """Pillarbox has no flags: everything is on."""
    try:
        run.call("PUT", "/feature-flags/{flag}/enable", {"name": run.words["flag"]})
    except ApiError as error:
        if error.status != 404:
            raise


# --- the table -------------------------------------------------------------------------------------------

_NO_PARAMETER = "Error:\nParameter does not exist"
_PRIORITY = {"--priority": "priority", "--apply-to": "apply_to"}
_USER_AND_VHOST = (_user, _vhost)


def _policies(word: str, said: str, path: str) -> tuple[Command, ...]:
    item = f"/{path}/{{vhost}}/{{name}}"
    banner = f'Setting {said} "{{name}}" for pattern "{{pattern}}" to "{{definition}}"'
    return (
        Command(
            f"set_{word}",
            "<name> <pattern> <definition>",
            f'{banner} with priority "{{priority}}" for vhost "{{vhost}}" ...',
            _request("PUT", item, _policy),
            (_vhost,),
            _PRIORITY,
        ),
        Command(
            f"clear_{word}",
            "<name>",
            f'Clearing {word.replace("_", " ")} "{{name}}" on vhost "{{vhost}}" ...',
            _remove(item, _NO_PARAMETER),
        ),
    )


CTL = (
    Command("version", "", "", diagnostics.version),
    Command("add_user", "<username> [<password>]", 'Adding user "{username}" ...', _add_user, (_no_user,),
            flags={"--pre-hashed-password": "pre_hashed_password"}),
    Command("delete_user", "<username>", 'Deleting user "{username}" ...',
            _request("DELETE", "/users/{username}"), (_quoted_user,)),
    Command("change_password", "<username> [<password>]", 'Changing password for user "{username}" ...',
            _change_password, (_quoted_user,)),
    Command("clear_password", "<username>", 'Clearing password for user "{username}" ...', _clear_password,
            (_quoted_user,)),
    Command("authenticate_user", "<username> [<password>]", 'Authenticating user "{username}" ...',
            _authenticate),
    Command("set_user_tags", "<username> [<tag>...]", 'Setting tags for user "{username}" to [{rest}] ...',
            _set_user_tags, (_quoted_user,)),
    Command("set_user_limits", "<username> <definition>",
            'Setting user limits to "{definition}" for user "{username}" ...',
            _set_limits("/user-limits/{username}/{limit}"), (_user,)),
    Command("clear_user_limits", "<username> <limit>", 'Clearing "{limit}" limit for user "{username}" ...',
            _clear_user_limits, (_user,)),
    Command("set_permissions", "<username> <conf> <write> <read>",
            'Setting permissions for user "{username}" in vhost "{vhost}" ...',
            _request("PUT", "/permissions/{vhost}/{username}", _same("write", "read", configure="conf")),
            _USER_AND_VHOST),
    Command("clear_permissions", "<username>",
            'Clearing permissions for user "{username}" in vhost "{vhost}" ...',
            _remove("/permissions/{vhost}/{username}", ""), _USER_AND_VHOST),
    Command("set_topic_permissions", "<username> <exchange> <write> <read>",
            'Setting topic permissions on "{exchange}" for user "{username}" in vhost "{vhost}" ...',
            _request("PUT", "/topic-permissions/{vhost}/{username}", _same("exchange", "write", "read")),
            _USER_AND_VHOST),
    Command("clear_topic_permissions", "<username> [<exchange>]",
            'Clearing topic permissions on "{exchange}" for user "{username}" in vhost "{vhost}" ...',
            _remove("/topic-permissions/{vhost}/{username}", ""), _USER_AND_VHOST),
    *_policies("policy", "policy", "policies"),
    *_policies("operator_policy", "operator policy override", "operator-policies"),
    Command("set_parameter", "<component_name> <name> <value>",
            'Setting runtime parameter "{name}" for component "{component_name}" to "{value}" '
            'in vhost "{vhost}" ...',
            _request("PUT", "/parameters/{component_name}/{vhost}/{name}", _parameter)),
    Command("clear_parameter", "<component_name> <name>",
            'Clearing runtime parameter "{name}" for component "{component_name}" on vhost "{vhost}" ...',
            _remove("/parameters/{component_name}/{vhost}/{name}", _NO_PARAMETER)),
    Command("set_global_parameter", "<name> <value>",
            'Setting global runtime parameter "{name}" to "{value}" ...',
            _request("PUT", "/global-parameters/{name}", _value)),
    Command("clear_global_parameter", "<name>", 'Clearing global runtime parameter "{name}" ...',
            _remove("/global-parameters/{name}", _NO_PARAMETER)),
    Command("add_vhost", "<new>", 'Adding vhost "{new}" ...', _add_vhost,
            valued={"--description": "description", "--tags": "tags",
                    "--default-queue-type": "default_queue_type"}),
    Command("delete_vhost", "<old>", 'Deleting vhost "{old}" ...',
            _remove("/vhosts/{old}", "Virtual host '{old}' does not exist", EXIT_DATA)),
    Command("set_vhost_tags", "<of> <tag>...", 'Setting tags for virtual host "{of}" to [{rest}] ...',
            _request("PUT", "/vhosts/{of}", lambda run: {"tags": ",".join(run.rest)})),
    Command("set_vhost_limits", "<definition>",
            'Setting vhost limits to "{definition}" for vhost "{vhost}" ...',
            _set_limits("/vhost-limits/{vhost}/{limit}"), (_vhost,)),
    Command("clear_vhost_limits", "", 'Clearing vhost "{vhost}" limits ...', _clear_vhost_limits, (_vhost,)),
    Command("trace_on", "", 'Starting tracing for vhost "{vhost}" ...', _trace(True), (_vhost,)),
    Command("trace_off", "", 'Stopping tracing for vhost "{vhost}" ...', _trace(False), (_vhost,)),
    *watermarks.COMMANDS,
    Command("purge_queue", "<queue>", "Purging queue '{queue}' in vhost '{vhost}' ...", _purge),
    Command("delete_queue", "<queue>",
            "Deleting queue '{queue}' on vhost '{vhost}'{conditions} ...", _delete_queue,
            flags={"--if-empty": "if-empty", "-e": "if-empty",
                   "--if-unused": "if-unused", "-u": "if-unused"}),
    Command("close_connection", "<connectionpid> <explanation>",
            "Closing connection {connectionpid}, reason: {explanation}...", _close_connection),
    Command("close_all_connections", "<explanation>",
            "Closing all connections in vhost {vhost}, reason: {explanation}...", _close_all,
            flags={"--global": "global"}),
    Command("close_all_user_connections", "<username> <explanation>",
            "Closing connections of user {username}, reason: {explanation}...", _close_all_of_user),
    Command("export_definitions", "<file>",
            'Exporting definitions in JSON to a file at "{file}" ...', _export,
            validate=_file_can_be),
    Command("import_definitions", "[<file>]",
            'Importing definitions in JSON from a file at "{file}" ...', _import,
            validate=_file_is),
    Command("set_cluster_name", "<name>", "Setting cluster name to {name} ...",
            _request("PUT", "/cluster-name", _same("name"))),
    Command("enable_feature_flag", "<flag>", "Enabling all feature flags ...", _enable_feature_flag),
    *shovels.COMMANDS,
    *listings.COMMANDS,
    *diagnostics.NODE,
)  # fmt: skip

TOOLS: Mapping[str, Mapping[str, Command]] = {
    tool: {each.name: each for each in commands}
    for tool, commands in {
        "rabbitmqctl": CTL,
        "rabbitmq-diagnostics": (*diagnostics.NODE, *diagnostics.CHECKS, *listings.COMMANDS),
        "rabbitmq-queues": (*diagnostics.CRITICAL, *listings.QUEUES),
        "rabbitmq-streams": streams.COMMANDS,
        "rabbitmq-plugins": plugins.COMMANDS,
    }.items()
}
