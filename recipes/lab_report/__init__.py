"""Lab report to JSON: the task, its YAML files and a generator of synthetic reports."""
