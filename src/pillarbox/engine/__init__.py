"""What keeps the domain's messages and definitions: the seam, and the engines behind it.

Main types: `base`, the words that domain and engines share (`Journal`, `Group`, `Location`, `Recovery`);
`local.LocalEngine`, a journal in local files; `memory.MemoryEngine`, which keeps nothing;
`schedulers`, how an engine gets things run over an event loop or inline in a test.

One flow of the local engine: `append` encodes a group (`facts`) and hands it to the committer → `synced`.
Once enough piled up, a `checkpoint` surveys the queues, copies what is still unsettled into one backlog
segment (`compaction`), writes a file (`checkpoint_file`) and removes what nobody needs. `open` takes the last
checkpoint and replays the groups after it (`replay`). `verify` does the same and reads every message, but
changes nothing.

One more fact: a kind byte, an encoder and a decoder in `facts`, a branch in `Replay._apply`, a method in
`testing.journal.ModelDomain`, so that the crash tests meet it.
"""
