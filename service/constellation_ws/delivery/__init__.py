"""The path of one event through this pod, from what Redis brings to the sockets."""
