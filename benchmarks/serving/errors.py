"""Why there are no figures of a server."""


class NotMeasurable(Exception):
    """A server does not start, ended, or does not answer as it should."""
