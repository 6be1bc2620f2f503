"""Documents of any kind to records of a schema of your own: what `assay init` starts."""
