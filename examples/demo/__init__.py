"""Real flights through a real Kafka, a worker killed on the way, and the count."""
