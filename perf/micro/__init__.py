"""Measurements of single operations of the engine, without sockets."""
