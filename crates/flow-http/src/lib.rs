//! HTTP/1.x messages from TCP streams.
