"""Model cards: what is known of a registered model, from its contract and from measurements."""
