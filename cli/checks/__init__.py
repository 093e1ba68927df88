"""What is wrong with a network, and what to do about it: pure functions from what was seen to findings."""
