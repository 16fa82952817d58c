"""What is wrong with a call or a request is told in a sentence, and in one line of the log."""
