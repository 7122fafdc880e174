"""Nothing grows for ever: removes what is older than the settings keep it."""
