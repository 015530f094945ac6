"""Measurements: the CPU and memory that pynatsd takes, beside nats-server."""
