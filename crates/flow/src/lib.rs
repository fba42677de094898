//! Passive network flows, TCP streams and HTTP, TLS, DNS messages.
