"""What the system needs to be there in AWS: bucket, training data and streams."""
