"""Kill the broker under load, again and again, and compare what comes back with what was promised.

    python -m tests.kill --rounds 200 --seed 7        (`make crash`)

Main types: `Model` knows what may and what must be there, fed by events; `Actor` is one client that
publishes with confirms, consumes, settles and changes definitions; `Drain` takes everything out after a
restart; `Folder` runs a broker process on a data folder and ends it in the middle of the load.

One flow: actors over sockets → SIGKILL → restart → `Drain` → `Model.check` → the next round on the same
folder. `test_power_cut` runs the same actors and the same model on a broker without sockets, over files that
remember every operation.

Actors and drains are sans I/O: bytes come in through `receive` and leave through `take`.
"""
