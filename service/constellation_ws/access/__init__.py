"""Who may be in a chat: answers of the API, cached, shared and limited."""
