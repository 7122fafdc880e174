"""`make demo-drift`: how long it takes from a customer who has changed until somebody knows.

It asks the running stack as people would, wherever that runs: addresses come from the settings.
Like `make demo` it walks through several services, and so may import them.
"""
