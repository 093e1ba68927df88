"""The lab's embedded Kubernetes API: enough of an API server for kubectl, the controller and the agents.

It exists so that Weft's own programs run unchanged on a machine without Kubernetes. The store, the patches, the
selectors and the scheduler are pure; `handle.LabApi` makes them thread-safe for code in the same process, `app`
speaks HTTP, and `server` runs it on sockets that the caller made. Importing this package imports none of them, so
that a command which only wants a constant does not pay for a web server.
"""
