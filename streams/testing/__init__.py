"""What users need to test their handlers without a broker: clocks, and stand-ins at the edges."""
