"""Kinesis: records and their ids."""
