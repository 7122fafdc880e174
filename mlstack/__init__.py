"""The library that every service shares: contract, data, encoder, model, deployment, settings.

Knows no Flask, no Prefect and no Kinesis.
"""
