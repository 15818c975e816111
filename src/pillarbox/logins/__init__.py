"""Logins and permissions that others decide (R8): whoever stands behind HTTP or in an LDAP directory.

`asker` takes the questions of `broker.outside`, asks the backend that each is for, off the turn that had it,
and brings the answer back in a turn of its own. A backend is an object with one method, `answer`: `http`
speaks the protocol of rabbitmq_auth_backend_http by way of `http_client`, `ldap` does what
rabbitmq_auth_backend_ldap does (with ldap3, the extra `pillarbox[ldap]`) and reads its queries by
`ldap_queries`. They are imported only where `auth_backends` has them.

What they share: every question is answered, in the end with an error, which is no; nobody is let in because a
backend cannot be reached. To add one: a module with such an object, a row in `backends.BACKENDS`, its name in
`options.AUTH_BACKENDS`.
"""
