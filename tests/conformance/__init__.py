"""The product's own engine and server, dressed as the official protocol suites presuppose."""
