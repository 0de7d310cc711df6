"""Planning: what explaining would take, in memory and time, counted before any weights are read."""
