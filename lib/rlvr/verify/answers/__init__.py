"""What mathematical answers say: from text to exact values, and when two of them are equal."""
