"""One picture, one of n: skin, fundus, pathology patches, and any folder of classes."""
