"""Kinesis: identity of streams, reading of shards, publishing of records."""
