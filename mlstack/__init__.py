"""Library that all services share.

It does not depend on Flask, Prefect or Kinesis.
"""
