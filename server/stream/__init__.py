"""The stream server: records of one Kinesis stream, answered on another.

`processor` turns records into kept and published answers and knows no engine; `polling` and
`kcl` are the engines that bring it the records of every shard.
"""
