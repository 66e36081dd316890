"""What splicer's processes say to each other, and the memory they share."""
