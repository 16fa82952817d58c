"""How a system is measured on a split, the same for evaluate.py and for train.py while it trains."""
