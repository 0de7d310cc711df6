"""Where the models are that do the work: in this process, or with Ray's workers, on any number of machines."""
