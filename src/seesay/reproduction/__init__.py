"""The paper's claims: what has to be done to test them, by which rules they are judged, and the report of it."""
