"""Weft's container images: the Dockerfile, what is only in them, and how they are built and described."""
