"""OVSDB as the contract between node agent and controller: rows as values, sessions, and what changed."""
