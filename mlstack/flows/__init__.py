"""What every Prefect flow of ours shares: how it is deployed, started and followed.

A flow describes itself once, by a function that returns its `FlowDeployment`. Two targets
follow from it: `apply.apply_command` makes Prefect know it, `run.run_command` runs it now.
"""
