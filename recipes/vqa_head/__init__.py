"""Questions on images answered by a dual encoder's towers and a fusion over their tokens, as METER does."""
