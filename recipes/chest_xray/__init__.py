"""Chest X-rays: findings, change between two images, where the parts of the chest are, reports."""
