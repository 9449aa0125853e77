"""The core of training networks: a loop that can be killed, weights without pickles, devices."""
