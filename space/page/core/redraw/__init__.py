"""What a visitor may pick from: candidates of a class, whole samples, and a class in a colour that is wished for."""
