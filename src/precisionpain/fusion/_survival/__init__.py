"""What the models of time to an event are made of."""
