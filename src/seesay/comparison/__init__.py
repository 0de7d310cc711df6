"""Methods side by side: what runs hold of them, on the same features, with intervals and tests. Free of torch."""
