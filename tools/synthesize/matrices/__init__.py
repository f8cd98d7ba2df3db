"""Abstract-reasoning matrices: made, proved, drawn and asked about (docs/matrices.md; methods, section 6)."""
