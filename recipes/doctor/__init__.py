"""`assay doctor`: what of this machine works for Assay, and what mends the rest."""
