"""One module per command: a frozen dataclass that is both the command line and the config, with a `run` method.

Nothing here imports torch at the top of a module; a command imports what it needs when it runs.
"""
