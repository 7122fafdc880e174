"""Kinesis: streams and their identity, reading shards, publishing records."""
