"""A cluster as a place to look at: its nodes are asked through the Kubernetes API, in their agents' pods.

What the caller may do there is what his own kubeconfig may: to list pods and to execute in them. Nothing is installed
for it, and nothing listens.
"""
