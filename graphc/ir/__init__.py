"""What a graph is: sizes, types, interned nodes; how it is built, printed, parsed, checked, and what it means."""
