"""Logins with OAuth 2 tokens (R8): signed JWTs, whose scopes are RabbitMQ's permissions.

`keys` holds the keys of who may sign and fetches them, off the loop; `tokens` makes a `broker.bearer.Bearer`
of a token or says why not. Both need the extra `pillarbox[oauth]` (joserfc) and are imported only where
`auth_backends` has `oauth2`. What a head does: hand the password to `Users.authenticate`, close the
connection when `expires_ms` has come, take another token by `Users.renew`.
"""
