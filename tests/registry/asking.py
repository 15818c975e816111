"""Asking a registry over plain HTTP."""

from __future__ import annotations

import base64
import json
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

TYPE = "application/vnd.schemaregistry.v1+json"
STRING = '"string"'


class Said(NamedTuple):
    status: int
    document: Any
    content_type: str
    headers: dict[str, str]

    @property
    def code(self) -> tuple[int, int]:
        return self.status, self.document["error_code"]


class Asking:
    """One registry at `url`; as whom it is asked may be said each time."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str = "",
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Said:
        connection = HTTPConnection(self._address, timeout=30)
        sent = {"content-type": TYPE} | (headers or {})
        if user:
            sent["authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        data = raw if body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            text = answer.read()
            document = json.loads(text) if text else None
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Said(answer.status, document, found.get("content-type", ""), found)
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        said = self("GET", path)
        assert said.status == 200, said
        return said.document

    def register(self, subject: str, schema: str, **more: Any) -> int:
        said = self("POST", f"/subjects/{subject}/versions", {"schema": schema, **more})
        assert said.status == 200, said
        found: int = said.document["id"]
        return found


def record(name: str, *fields: Any) -> str:
    """An Avro record; fields are names of strings, or whole."""
    whole = [{"name": each, "type": "string"} if isinstance(each, str) else each for each in fields]
    return json.dumps({"type": "record", "name": name, "fields": whole})
