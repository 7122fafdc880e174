"""Install locked packages on this machine and in images."""
