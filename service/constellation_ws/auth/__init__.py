"""Who a client is: its word, or a token and the keys that verify it."""
