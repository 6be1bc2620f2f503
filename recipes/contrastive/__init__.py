"""Dual encoders (BiomedCLIP, MedSigLIP, any CLIP or SigLIP): tuned, searched with, classified by."""
