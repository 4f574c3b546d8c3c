"""HTTP/1.1 on the public port: heads, connections, and who may connect."""
