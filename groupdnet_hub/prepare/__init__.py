"""Raw data sets to the folders that training reads."""
