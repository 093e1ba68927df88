"""What each feature of the network adds to the tables: pure functions from facts to flows."""
