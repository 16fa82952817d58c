"""Training: settings, networks to train, data, objectives, checkpoints. ``train/train.py`` has the loop."""
