"""Bytes and offsets on disk; knows no queue and no message.

Main types: `files.Files`, the one seam to the file system (`DiskFiles` for real, `testing.faults` in tests);
`batch`, Kafka's RecordBatch v2, which contains everything stored; `folder`, the data folder with its format
and lock; `journal` and `committer`, segments of groups walked and written; `readers`, segments open for
reading; `log` and its neighbours, the partition log of topics and streams.

One flow: an engine encodes a group and submits it → the committer's thread writes all that piled up, syncs
once, and reports the last ticket → after a restart `SegmentWalk` finds the groups again, and a barrier tells
a torn tail from damage.

One more stored thing: a record kind belongs to the engine (`engine/facts.py`); a new kind of file gets a
module here, its names in `folder`, its crash states in tests/crash, its reasons in the decision record.
"""
