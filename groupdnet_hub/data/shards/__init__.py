"""Data sets in shards: Parquet files of many items each, which are streamed."""
