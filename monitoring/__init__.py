"""Monitor the deployed model and display the results."""
