"""Training of a GroupDNet and of the systems that it is compared with."""
