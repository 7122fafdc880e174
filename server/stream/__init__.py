"""The stream server: answers records of one Kinesis stream on another.

`processor` turns records into kept and published results and does not depend on an engine; the
engines `polling` and `kcl` pass it the records of all shards.
"""
