"""What both doctors ask of the machine that a stack runs on."""
