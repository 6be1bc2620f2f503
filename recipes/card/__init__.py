"""What the rows of a model's card share: readers, prompts, graders, measures, and the row itself."""
