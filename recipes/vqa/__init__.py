"""Questions on pictures: SLAKE, VQA-RAD, MedXpertQA with images, PathVQA, and any table of the kind."""
