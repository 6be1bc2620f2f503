"""From what a model wrote to a record: parse, validate, say what is doubtful."""
