"""What a member shows of itself: metrics, health, logs, totals."""
