"""Simulators that send customers to both servers regularly and log the responses."""
