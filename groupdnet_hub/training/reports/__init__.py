"""What a run tells while it trains, and of it afterwards: sample grids, pace, the facts of its card."""
