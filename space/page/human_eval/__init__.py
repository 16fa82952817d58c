"""SHE, the paper's human evaluation."""
