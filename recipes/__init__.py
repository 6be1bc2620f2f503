"""One folder a task: what the model is taught, on which data, with which settings."""
