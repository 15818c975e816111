"""The registry's table: a row for each request that can be made."""

from __future__ import annotations

from typing import Final

from pillarbox.ops.registry import resources, settings
from pillarbox.ops.registry.request import Right, Route

SUBJECT: Final = "/subjects/{subject}"
VERSION: Final = f"{SUBJECT}/versions/{{version}}"
COMPATIBILITY: Final = f"/compatibility{SUBJECT}/versions"

ROUTES: Final = (
    Route("GET", "/", resources.root),
    Route("GET", "/contexts", resources.contexts),
    Route("DELETE", "/contexts/{context}", resources.delete_context, Right.RULE, writes=True),
    Route("GET", "/schemas", resources.schemas),
    Route("GET", "/schemas/types", resources.schema_types),
    Route("GET", "/schemas/ids/{id}", resources.schema),
    Route("GET", "/schemas/ids/{id}/schema", resources.schema_text),
    Route("GET", "/schemas/ids/{id}/subjects", resources.schema_subjects),
    Route("GET", "/schemas/ids/{id}/versions", resources.schema_versions),
    Route("GET", "/schemas/guids/{guid}", resources.schema_by_guid),
    Route("GET", "/schemas/guids/{guid}/ids", resources.ids_of_guid),
    Route("GET", "/subjects", resources.subjects),
    Route("POST", SUBJECT, resources.look_up),
    Route("DELETE", SUBJECT, resources.delete_subject, Right.CHANGE, writes=True),
    Route("GET", f"{SUBJECT}/metadata", resources.version_with_metadata),
    Route("GET", f"{SUBJECT}/versions", resources.versions),
    Route("POST", f"{SUBJECT}/versions", resources.register, Right.REGISTER, writes=True),
    Route("GET", VERSION, resources.version),
    Route("DELETE", VERSION, resources.delete_version, Right.CHANGE, writes=True),
    Route("GET", f"{VERSION}/schema", resources.version_schema),
    Route("GET", f"{VERSION}/referencedby", resources.referenced_by),
    Route("POST", COMPATIBILITY, resources.compare_all),
    Route("POST", f"{COMPATIBILITY}/{{version}}", resources.compare),
    Route("GET", "/config", settings.config),
    Route("PUT", "/config", settings.configure, Right.RULE, writes=True),
    Route("DELETE", "/config", settings.delete_config, Right.RULE, writes=True),
    Route("GET", "/config/{subject}", settings.config),
    Route("PUT", "/config/{subject}", settings.configure, Right.CHANGE, writes=True),
    Route("DELETE", "/config/{subject}", settings.delete_config, Right.CHANGE, writes=True),
    Route("GET", "/mode", settings.mode),
    Route("PUT", "/mode", settings.set_mode, Right.RULE, writes=True),
    Route("DELETE", "/mode", settings.delete_mode, Right.RULE, writes=True),
    Route("GET", "/mode/{subject}", settings.mode),
    Route("PUT", "/mode/{subject}", settings.set_mode, Right.CHANGE, writes=True),
    Route("DELETE", "/mode/{subject}", settings.delete_mode, Right.CHANGE, writes=True),
)
