"""Redis: addresses, topologies, clients, links, and Pub/Sub."""
