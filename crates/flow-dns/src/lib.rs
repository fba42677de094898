//! DNS messages over UDP and TCP, queries matched with responses.
