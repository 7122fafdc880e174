"""Create the AWS resources: bucket, training data and streams."""
