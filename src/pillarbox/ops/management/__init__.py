"""The HTTP management API: wire-compatible with RabbitMQ's, under /api on port 15672.

One flow: `server` opens the sockets; with the first connection it has uvicorn and starlette imported, and
`application` takes over: it finds the `Route`, logs the user in (`access`), makes a `Request` and calls the
handler, a plain function on the core. What the handler returns becomes the answer: a dict or a list as it is,
a `Listing` filtered, sorted, paged (`listing`) and sent in slices, None 204, an `Answer` as it says.

**To add a resource**: a file in `resources/` with its functions and a tuple `ROUTES`, and its name in
`resources/__init__.py`. Routing, authorization and the OpenAPI document (`openapi`) follow from the rows.
What is shown of a thing is a `Document`: a table of fields (`fields`), from which columns, sorting and schema
follow.

Refusals: `raise HttpError(...)` for what this API refuses, or let the core's BrokerError pass. Handlers
neither wait nor take longer than two milliseconds; what may take longer is a generator of bytes
(`Answer.body`).

Not here: sockets of other protocols, what the domain does. Nothing below `application` knows starlette.
"""
