"""The composition root: the only package that sees all parts, and puts them together.

Main types: `server.Server`, a broker inside an event loop, made of `clients.Clients` (the sockets that are
open), `client_ports.ClientPorts`, `operator_ports.OperatorPorts` and `logins.Logins`; `process.serve` runs
one as a process. One flow: configuration → engine → core → ports → graceful stop. To add a protocol: a row in
`protocols.registry`, and nothing here. To add a port for operators: a row in `ops.ports`, and a maker in
`operator_ports`.
"""
