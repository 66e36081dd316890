"""Pure decisions: what to do next, given what happened."""
