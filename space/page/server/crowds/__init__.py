"""What strangers may have of the page, one address or a crowd: sessions, places in the queue, calls, uploads."""
