"""How a client's request reaches a backend, and what its answer becomes."""
