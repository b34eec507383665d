"""Kafka consumers whose order survives failure."""
