"""The stages of a request, from messages to a reply, for one request and for many."""
