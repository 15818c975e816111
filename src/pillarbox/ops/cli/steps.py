"""Operations that are more than one request with what was given, one function each.

A step gets the `Call` and returns the document to show, or None when the operation's own sentence says it
all.
Not here: which operation has which step (`operations`).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import sys
from typing import Any

import click

from pillarbox.errors import PillarboxError
from pillarbox.ops.api_client import ApiError, path
from pillarbox.ops.cli.files import OWNER_ONLY, STANDARD, read_json, write_whole
from pillarbox.ops.cli.operation import Call, Kind, flag, step_option
from pillarbox.ops.cli.passwords import ask_twice, read_password

PASSWORD_OPTIONS = (
    step_option(
        "new-password-file", "A file with the password in its first line; - for standard input.", Kind.FILE
    ),
    step_option("password-hash", "A hash as definitions have it, instead of a password."),
    flag("no-password", "Nobody can log in with a password.", "password_hash", ""),
)


class Failed(PillarboxError):
    """The broker has answered, and it is not what was wanted."""


def explain(call: Call) -> Any:
    """The summary, and the findings below it."""
    answer = call.send()
    if call.values["form"] == "json":
        return answer
    return "\n".join([answer["summary"], *(f"  {finding['text']}" for finding in answer["findings"])])


def check(call: Call) -> Any:
    """A check that fails is answered 503, with the reason."""
    try:
        return call.send()
    except ApiError as error:
        if error.status == 503:
            raise Failed(error.reason) from None
        raise


# --- bindings --------------------------------------------------------------------------------------------


def _between(call: Call) -> str:
    kind = "e" if call.values["to_exchange"] else "q"
    return call.path("/bindings/{vhost}/e/{source}/") + kind + call.path("/{destination}")


def bind(call: Call) -> None:
    call.api.call("POST", _between(call), call.body())


def unbind(call: Call) -> None:
    """The API names a binding by a key of its own making, which a listing tells."""
    between, wanted = _between(call), call.body() or {}
    for found in call.api.get(between):
        if found["routing_key"] == wanted["routing_key"] and found["arguments"] == wanted["arguments"]:
            call.api.call("DELETE", path(f"{between}/{{key}}", key=found["properties_key"]))
            return
    raise Failed("there is no such binding")


# --- messages --------------------------------------------------------------------------------------------


def publish(call: Call) -> None:
    """Bodies that are no UTF-8 travel in base64."""
    given = call.values["payload"]
    payload = sys.stdin.buffer.read() if given in (None, STANDARD) else os.fsencode(given)
    body = call.body() or {}
    try:
        body |= {"payload": payload.decode(), "payload_encoding": "string"}
    except UnicodeDecodeError:
        body |= {"payload": base64.b64encode(payload).decode(), "payload_encoding": "base64"}
    if not call.send(body)["routed"]:
        raise Failed("the message is lost: no queue takes it")


def send_message(call: Call) -> None:
    """To a queue or a topic, whose API takes text alone."""
    given = call.values["payload"]
    payload = sys.stdin.buffer.read() if given in (None, STANDARD) else os.fsencode(given)
    try:
        body = {**(call.body() or {}), "body": payload.decode()}
    except UnicodeDecodeError:
        raise Failed("the body is no text in UTF-8; messages publish sends such") from None
    if not call.send(body)["routed"]:
        raise Failed("the message is lost: nobody takes it")


def get_messages(call: Call) -> Any:
    found = call.send()
    if not call.values["raw"]:
        return found
    for message in found:
        payload = message["payload"].encode()
        if message["payload_encoding"] == "base64":
            payload = base64.b64decode(payload)
        sys.stdout.buffer.write(payload)
    sys.stdout.buffer.flush()
    return None


def move(call: Call) -> Any:
    answer = call.send()
    if call.values["form"] == "json":
        return answer
    return f"{answer['moved']} messages are moved"


# --- Kafka -----------------------------------------------------------------------------------------------


def configure_topic(call: Call) -> None:
    """What goes back to what is usual is sent as null."""
    defaults = (call.values["default"] or "").replace(",", " ").split()
    configs = {**dict(call.values["config"]), **dict.fromkeys(defaults)}
    if not configs:
        raise Failed("nothing to alter: give --config or --default")
    call.send(configs)


def reset_offsets(call: Call) -> Any:
    partitions = call.values["partitions"]
    body = call.body() or {}
    if partitions:
        try:
            body["partitions"] = [int(number) for number in partitions.split(",")]
        except ValueError:
            raise click.UsageError(f"--partitions {partitions} are not numbers with commas") from None
    return call.send(body)


# --- users -----------------------------------------------------------------------------------------------


def _new_password(call: Call) -> dict[str, str]:
    """What the options say, or who sits at the terminal."""
    values = call.values
    given = [name for name in ("new_password_file", "password_hash", "no_password") if values[name]]
    if len(given) > 1:
        raise Failed("give one of --new-password-file, --password-hash and --no-password")
    if values["no_password"]:
        return {"password_hash": ""}
    if values["password_hash"]:
        try:
            base64.b64decode(values["password_hash"], validate=True)
        except binascii.Error:
            raise Failed("--password-hash must be base64") from None
        return {"password_hash": values["password_hash"]}
    if values["new_password_file"]:
        return {"password": read_password(values["new_password_file"])}
    return {"password": ask_twice(f"New password of {values['user']}")}


def _user(call: Call) -> Any:
    return call.api.get(call.path())


def add_user(call: Call) -> None:
    """The API would change a user that is there already; adding one is not meant so."""
    try:
        _user(call)
    except ApiError as error:
        if error.status != 404:
            raise
    else:
        raise Failed(f"there is a user {call.values['user']} already")
    tags = call.values["tags"] or ""
    call.send({"tags": tags, **_new_password(call)})


def set_password(call: Call) -> None:
    """The API takes password and tags together, so the tags are sent as they are."""
    call.send({"tags": _tags(_user(call)["tags"]), **_new_password(call)})


def set_tags(call: Call) -> None:
    user = _user(call)
    kept = {key: user[key] for key in ("password_hash", "hashing_algorithm") if key in user}
    call.send({"tags": call.values["tags"], **kept})


def _tags(tags: list[str] | str) -> str:
    return tags if isinstance(tags, str) else ",".join(tags)


# --- parameters and definitions --------------------------------------------------------------------------


def set_parameter(call: Call) -> Any:
    """The body has to say again what the path says."""
    values = call.values
    return call.send({key: values[key] for key in ("component", "vhost", "name", "value")})


def _definitions(call: Call) -> str:
    vhost = call.values["only_vhost"]
    return "/definitions" if vhost is None else path("/definitions/{vhost}", vhost=vhost)


def export_definitions(call: Call) -> Any:
    document = call.api.get(_definitions(call))
    file = call.values["file"]
    if file in (None, STANDARD):
        return document
    # Password hashes are in it: it is nobody else's.
    write_whole(file, json.dumps(document, indent=2, ensure_ascii=False) + "\n", OWNER_ONLY)
    return None


def import_definitions(call: Call) -> None:
    """What was left out is not what the file says, so whoever imports it should know."""
    file = call.values["file"]
    answer = call.api.call("POST", _definitions(call), read_json(file or STANDARD))
    for problem in left_out(answer):
        click.echo(f"pillarbox: warning: {problem}", err=True)


def left_out(answer: Any) -> list[str]:
    """What an import did not take, a sentence each; a RabbitMQ does not say."""
    return answer.get("left_out", []) if isinstance(answer, dict) else []


def send_any(call: Call) -> Any:
    values = call.values
    return call.api.call(values["method"].upper(), f"/{values['path'].removeprefix('/')}", values["body"])
