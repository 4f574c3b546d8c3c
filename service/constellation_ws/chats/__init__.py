"""The `/chats` namespace: what clients may request, presence, and how long their tokens last."""
