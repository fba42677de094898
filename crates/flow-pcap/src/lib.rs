//! Capture files as packet sources: pcap, pcapng, compressed.
