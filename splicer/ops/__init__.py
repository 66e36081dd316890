"""What an operator does with a running splicer, through its admin address: look, close calls, drain."""
