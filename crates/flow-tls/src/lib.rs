//! TLS handshakes and their fingerprints from TCP streams.
