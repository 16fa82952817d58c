"""What is made of a photo's file: the whole photo, its frame, its label map, whether it shows a person."""
