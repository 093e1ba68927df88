"""NetworkPolicy compiled: from pods, namespaces and policies to the flows of each node's policy tables."""
