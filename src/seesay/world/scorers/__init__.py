"""The scores that only the embedded world can give: against the scenes' records, and on pairs that are made for it."""
