"""The messages of the domain and their bytes: events, ids, commands, frames, refusals."""
