"""HTTP/1.1 on the public port: request heads, connections, and which clients may connect."""
