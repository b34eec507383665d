"""Real flights as events: 336,776 departures from New York in 2013, one month of them in this folder."""
