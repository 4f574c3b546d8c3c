"""Who came online and who went offline, announced to the backend once in the whole cluster."""
