//! Flow keys from frames: five-tuples, IP and MAC pairs, decapsulation.
