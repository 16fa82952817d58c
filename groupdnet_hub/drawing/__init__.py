"""What the verbs of the pipeline are made of: a loaded model, and requests for one picture or many."""
