"""Consumer groups without sockets: the state machines, their timers, and offsets."""
