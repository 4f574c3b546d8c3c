"""python-socketio on our engine: its server, its packets, and who is in which room."""
