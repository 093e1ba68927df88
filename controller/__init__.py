"""The controller: cluster state → each node's flows → the differences its switch needs."""
